"""``make hub-load``: load a real hub over HTTP, and write ``docs/SCALE.md``.

Bounded in time and connections, and on the loopback address alone. What was measured is kept at
once, so that a run that was cut goes on where it was: without ``--rows`` it measures what nobody
has measured yet, with ``--rows all`` everything anew, with names those. ``--quick`` is for seeing
that it works: its figures say little.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.hub import page
from benchmarks.hub.cached_rows import CachedRows
from benchmarks.hub.fleet_curve import curve
from benchmarks.hub.groups import GROUPS, SERVERS, STORM
from benchmarks.hub.scale_row import Bench
from benchmarks.hub.served import cores
from edge_sdk.bench import machine
from edge_sdk.system.files import READABLE, write_atomic

PAGE: Final = Path("docs/SCALE.md")
PICTURE: Final = "devices_per_hub.svg"
RESULTS: Final = Path("benchmarks/hub/results.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure rows; 0 whether goals are met or not, 1 where one could not be measured."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    cached = CachedRows(arguments.results)
    unknown = sorted(set(arguments.rows) - {*GROUPS, "all"})
    if unknown:
        parser.error(f"--rows: expected some of all, {', '.join(GROUPS)}; got {', '.join(unknown)}")
    if "all" in arguments.rows:
        cached.forget()
    chosen = [name for name in arguments.rows if name != "all"]
    names = [name for name in GROUPS if (name in chosen if chosen else name not in cached)]
    failed = [name for name in names if not _measured(name, cached, arguments)]
    measured = {name: group for name in GROUPS if (group := cached.get(name)) is not None}
    waiting = {name: group.waiting for name, group in GROUPS.items()}
    storm = cached.get(STORM)
    text = page.to_markdown(measured, waiting, SERVERS, PICTURE if storm else "")
    write_atomic(arguments.out, text.encode(), mode=READABLE)
    if storm:
        drawn = curve([row for row in storm.rows if row.figures])
        write_atomic(arguments.out.with_name(PICTURE), drawn.encode(), mode=READABLE)
    print(f"wrote {arguments.out}")
    return 1 if failed else 0


def _measured(name: str, cached: CachedRows, arguments: argparse.Namespace) -> bool:
    """Measure a group with the load on the cores that are not the hub's; return whether it could.

    Others have their turn where one fails.
    """
    measure = GROUPS[name].measure
    if measure is None:
        return True
    before, load = os.sched_getaffinity(0), machine.conditions().get("load", "unknown")
    os.sched_setaffinity(0, cores()[1])
    try:
        with tempfile.TemporaryDirectory(prefix="hub-load-") as folder:
            rows = measure(Bench(Path(folder), arguments.quick, arguments.peers))
    except Exception:
        traceback.print_exc()
        print(f"{name}: could not be measured", flush=True)
        return False
    finally:
        os.sched_setaffinity(0, before)
    for row in rows:
        print(f"{row.what}: {row.found}", flush=True)
    cached.keep(name, rows, load)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub", description=__doc__)
    parser.add_argument(
        "--rows", nargs="*", default=[], help="groups, or all; else what is missing"
    )
    parser.add_argument("--quick", action="store_true", help="see that it works")
    parser.add_argument("--peers", type=Path, help="folder of an environment that has MLflow")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what was measured")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
