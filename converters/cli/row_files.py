"""Held-out rows, labels and groups from an .npz archive, CSV or a Parquet table.

What a file is its first bytes say, not its name. In CSV an empty cell is a missing value, as are
``NaN`` and ``nan``; ``NA`` is a text, and so are postcodes such as 01067: as the hub reads them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import ConversionError


@dataclass(frozen=True)
class HeldOutRows:
    """Rows of a file as :func:`converters.convert` takes them.

    Attributes:
        X: array [N, features] or DataFrame.
        y: labels or values [N]; ``None`` if the file has none.
        groups: names of columns of a DataFrame, or arrays [N] by name.
    """

    X: Any
    y: Any
    groups: Any


def read_rows(path: Path, label: str | None, groups: Sequence[str]) -> HeldOutRows:
    """Read a file of rows.

    Args:
        path: an .npz archive with the array ``X``, Parquet or CSV.
        label: column or array of the labels; ``y`` by default, if there is one.
        groups: columns by which rows are grouped, with cut points for numbers (``age:30,60``).

    Raises:
        ConversionError: the file cannot be read, or lacks what is asked for.
    """
    begin = _first_bytes(path)
    if begin[:2] == b"PK" or path.suffix == ".npz":
        return _from_arrays(path, label, groups)
    frame = _read_table(path, is_parquet=begin == b"PAR1")
    if label is not None and label not in frame.columns:
        columns = list(frame.columns)[:10]
        raise ConversionError(f"{path}: no column {label!r} (--label) among {columns}")
    y = frame.pop(label or "y").to_numpy() if (label or "y") in frame.columns else None
    return HeldOutRows(frame, y, list(groups))


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read; {_reason(error)}") from error


def _read_table(path: Path, *, is_parquet: bool) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ConversionError(f"{path}: reading tables needs pandas; pip install pandas") from error
    try:
        return pandas.read_parquet(path) if is_parquet else _read_csv(path)
    except ImportError as error:
        raise ConversionError(f"{path}: reading this needs pyarrow; pip install pyarrow") from error
    except (OSError, ValueError, KeyError) as error:
        raise ConversionError(
            f"{path}: expected an .npz with X (and y), or a CSV or Parquet table; {_reason(error)}"
        ) from error


def _read_csv(path: Path) -> Any:
    import pandas

    options: Any = {"keep_default_na": False, "na_values": ["", "NaN", "nan"]}
    texts = pandas.read_csv(path, dtype=str, **options)
    led = [name for name in texts if texts[name].str.match(r"\s*[-+]?0[0-9]", na=False).any()]
    return pandas.read_csv(path, dtype=dict.fromkeys(led, str), **options)


def _from_arrays(path: Path, label: str | None, groups: Sequence[str]) -> HeldOutRows:
    import numpy as np

    try:
        # Pickled objects inside an archive would run code; arrays of them are refused.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConversionError(
            f"{path}: expected an .npz with X (and y), without pickled objects; {_reason(error)}"
        ) from error
    for needed in ("X", label or "X"):
        if needed not in arrays:
            raise ConversionError(f"{path}: no array {needed!r} among {sorted(arrays)[:10]}")
    # An array may have a colon in its name; only where none has, what follows it are cut points.
    names = {group: group if group in arrays else group.rpartition(":")[0] for group in groups}
    values = {group: arrays.get(name) for group, name in names.items()}
    return HeldOutRows(arrays["X"], arrays.get(label or "y"), values)


def _reason(error: Exception) -> str:
    """The cause of an error, without the number and the name that the system adds."""
    cause = error.strerror if isinstance(error, OSError) else None
    return cause or str(error)
