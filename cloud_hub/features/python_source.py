"""Rows of a set from a function, called in a worker: a hub never loads a user's code itself.

``python -m cloud_hub.features.python_source ENTRY AS_OF [PATH]`` calls the function in the folder
that it is in, and leaves ``rows.parquet`` there, or ``problem`` with the reason why not.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid
from cloud_hub.features.declaration import FeatureSource
from cloud_hub.features.row_files import LARGEST, read_rows, write_parquet
from cloud_hub.isolation.handback import opened, printable
from cloud_hub.isolation.process_limits import ProcessLimits

if TYPE_CHECKING:
    from cloud_hub.isolation.workers import Workers

ROWS: Final = "rows.parquet"
PROBLEM: Final = "problem"
PROBLEM_LENGTH: Final = 2_000
"""Characters of the reason that a function may leave, of up to four bytes each."""


def called_rows(source: FeatureSource, as_of: float, workers: Workers) -> pa.Table:
    """Return what a function makes of a moment.

    Args:
        source: with the name of the function.
        as_of: Unix seconds.
        workers: that start the process.

    Raises:
        Invalid: it cannot be called, fails, takes too much, or returns no rows.
    """
    assert source.python is not None
    folder = [Path(source.path).absolute()] if source.path else []
    limits = ProcessLimits(source.timeout_seconds, source.memory_mb, folder_bytes=LARGEST)
    work = workers.new_folder()
    try:
        process = workers.start(
            "cloud_hub.features.python_source",
            [source.python, repr(as_of), *map(str, folder)],
            work, work / "log.txt", limits, reads=folder, foreign=False,
        )  # fmt: skip
        process.wait()
        return _left(work, source.python, process.ended)
    finally:
        workers.remove(work)


def _left(work: Path, entry: str, ended: Callable[[], str]) -> pa.Table:
    with opened(work) as left, tempfile.TemporaryDirectory() as folder:
        said = left.read(PROBLEM, 4 * PROBLEM_LENGTH)
        if said is not None:
            reason = printable(said.decode(errors="replace"), PROBLEM_LENGTH)
            raise Invalid(f"python: {entry} failed: {reason}")
        # A copy: the worker could still change its own while it is read.
        if not left.copy(ROWS, Path(folder) / ROWS, LARGEST):
            raise Invalid(f"python: {entry} left no rows: {ended()}")
        return read_rows(Path(folder) / ROWS, entry)


def main(entry: str, as_of: str, path: str | None = None) -> None:
    """Call a function with a moment, and leave its rows here.

    Args:
        entry: ``module:function``.
        as_of: Unix seconds; the function gets a ``datetime`` in UTC.
        path: folder to put before Python's own.
    """
    if path is not None:
        sys.path.insert(0, path)
    module, _, name = entry.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        write_parquet(_rows_of(function(datetime.fromtimestamp(float(as_of), UTC))), Path(ROWS))
    except BaseException as error:  # whatever the user's code does, the person gets the reason
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"[:PROBLEM_LENGTH]
        Path(PROBLEM).write_text(reason, errors="replace")


def _rows_of(returned: Any) -> pa.Table:
    """Return a DataFrame, an Arrow table or columns by name as a table; raises TypeError."""
    if isinstance(returned, pa.Table):
        return returned
    if isinstance(returned, dict):
        return pa.table(returned)
    if hasattr(returned, "to_parquet"):
        return pa.Table.from_pandas(returned, preserve_index=False)
    raise TypeError(f"expected a DataFrame, a table or columns by name, got {type(returned)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
