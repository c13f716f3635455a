"""``make coldstart``: measure, and write ``benchmarks/COLD_START.md``.

``--quick`` takes another fleet, writers of digits, and less than a minute; it needs no peers, and
writes no page unless it is told where.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import benchmarks.coldstart
from benchmarks.coldstart.peers.running import PEERS, available
from benchmarks.coldstart.report import Finished, page, table
from benchmarks.coldstart.study import Study, Work
from edge_sdk.bench.result import save

HERE: Final = Path(__file__).parent.parent
FIRST: Final = ("new-people", "returning", "sessions", "harm", "alike", "cost")
SEED: Final = 17


def studies() -> dict[str, Study]:
    """Return the studies of this folder by name."""
    names = {
        m.name.replace("_", "-"): m.name
        for m in pkgutil.iter_modules(benchmarks.coldstart.__path__)
    }
    ordered = [*(n for n in FIRST if n in names), *(n for n in sorted(names) if n not in FIRST)]
    found = {}
    for name in ordered:
        if name.startswith("--"):
            continue
        module = importlib.import_module(f"benchmarks.coldstart.{names[name]}")
        if isinstance(getattr(module, "STUDY", None), Study):
            found[name] = module.STUDY
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the studies; 0 also where goals are missed, since the page says so."""
    every = studies()
    arguments = _parser(list(every)).parse_args(argv)
    if not arguments.quick and not available(arguments.peers):
        print(f"expected an environment of peers in {arguments.peers}: make coldstart makes it",
              file=sys.stderr)  # fmt: skip
        return 1
    with tempfile.TemporaryDirectory(prefix="coldstart-") as folder:
        work = Work(Path(folder), arguments.seed, arguments.quick, arguments.peers)
        for name in arguments.only or every:
            done = _finished(name, every[name], work)
            if not arguments.quick or arguments.out is not None:
                # At once: a campaign that is broken off keeps what it has measured.
                _write(arguments.out or HERE, every, name, done)
    return 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coldstart", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="writers of digits, below a minute")
    parser.add_argument("--only", nargs="*", choices=names, default=[])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--peers", type=Path, default=PEERS, help="environment of river and seglearn"
    )
    parser.add_argument("--out", type=Path, help="folder of the page")
    return parser


def _finished(name: str, study: Study, work: Work) -> Finished:
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    result = study.measure(work)
    print(table(list(result.rows)), flush=True)
    return Finished(result, time.perf_counter() - began, work.seed)


def _write(folder: Path, every: dict[str, Study], name: str, done: Finished) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "COLD_START.md"
    before = path.read_text() if path.exists() else ""
    save(path, page(every, {name: done}, before).encode())
    for file, picture in done.result.pictures.items():
        save(folder / file, picture.encode())
    print(f"wrote {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
