"""``make hub-load``: load a real hub over HTTP, and write ``docs/SCALE.md``.

Bounded in time and connections, and on the loopback address alone. ``--quick`` takes under a minute
and is for seeing that it works: its figures say little.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.hub import measured_rows, page, web_servers
from benchmarks.hub.measured_rows import ScaleRow
from benchmarks.hub.reports import reports
from benchmarks.hub.served import MODEL, cores, prepare, served
from edge_sdk.model.release import Release

PAGE: Final = Path("docs/SCALE.md")
DEVICES: Final = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every row; 0 whether goals are met or not."""
    arguments = _parser().parse_args(argv)
    seconds, devices = (0.5, 4) if arguments.quick else (10.0, DEVICES)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores()[1])
    try:
        with tempfile.TemporaryDirectory(prefix="hub-load-") as folder:
            rows = _over_http(Path(folder), seconds, devices)
        rows.append(_told(lambda: measured_rows.generator_limit(seconds)))
        servers = web_servers.compare(seconds)
    finally:
        os.sched_setaffinity(0, before)
    arguments.out.write_text(page.to_markdown(rows, servers))
    print(f"wrote {arguments.out}")
    return 0


def _over_http(folder: Path, seconds: float, devices: int) -> list[ScaleRow]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's: the models are small on purpose
        tokens = prepare(folder / "hub", devices)
    with served(folder / "hub", tokens) as hub:
        rows = measured_rows.starting(hub)
        for measure in (measured_rows.polls, measured_rows.cascade, measured_rows.lone_cascade):
            rows.append(_told(lambda measure=measure: measure(hub, seconds)))  # type: ignore[misc]
        release = Release.open(folder / MODEL)
        rows.append(_told(lambda: reports(hub, folder / "hub", release, seconds)))
    return rows


def _told(measure: Callable[[], ScaleRow]) -> ScaleRow:
    row = measure()
    print(f"{row.what}: {row.found}", flush=True)
    return row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
