"""``make statistics``: simulate, and write ``benchmarks/STATISTICS.md``.

``--quick`` is the part of continuous integration: fixed seed, few cells, and enough runs in each
that a true level of twice the nominal one would fail. It writes no page unless it is told where.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import benchmarks.statistics
from benchmarks.statistics import rows
from benchmarks.statistics.part import FULL, QUICK, Effort, Part, parts_in, seeded
from benchmarks.statistics.report import Measured, sections, table, to_markdown
from edge_sdk.bench.result import save

HERE: Final = Path(__file__).parent.parent
PARTS: Final[dict[str, Part]] = {
    **parts_in("benchmarks.statistics", benchmarks.statistics.__path__),
    **parts_in(rows.__name__, rows.__path__),
}
"""The subjects. To add one, write a module with a ``PART`` into ``rows/``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts; 1 if a goal is refuted, 0 if none is."""
    arguments = _parser().parse_args(argv)
    names = arguments.only or [name for name, part in PARTS.items() if _takes_part(part, arguments)]
    effort = _effort(arguments)
    print(f"seed {effort.seed}", file=sys.stderr, flush=True)
    results = _run(names, effort, arguments.processes)
    if arguments.out is not None:
        _write(arguments.out, results)
    elif arguments.quick:
        print("\n\n".join(f"{name}\n{table(done.rows)}" for name, done in results.items()))
    refuted = [(n, row) for n, done in results.items() for row in done.rows if row.refuted]
    for name, row in refuted:
        print(f"{name}: {row.measured}: {row.result}, expected {row.goal}", file=sys.stderr)
    return 1 if refuted else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fixed seed, the hardest cells")
    parser.add_argument("--only", nargs="*", choices=[*PARTS], default=[])
    parser.add_argument("--share", type=float, help="of a full campaign's runs; default: 1")
    parser.add_argument("--seed", type=int, help="default: a fresh one, and 13 with --quick")
    parser.add_argument(
        "--plug", nargs="*", default=[], metavar="MODULE:FUNCTION",
        help="detectors or deciders to set beside ours; see benchmarks/statistics/plugged",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, default=1, help="parts that run at once")
    parser.add_argument("--out", type=Path, help="folder of the page; with --quick it is printed")
    return parser


def _takes_part(part: Part, arguments: argparse.Namespace) -> bool:
    return part.quick or not arguments.quick


def _effort(arguments: argparse.Namespace) -> Effort:
    """Set the seed: a full campaign that is run again is another one."""
    if not arguments.quick and arguments.out is None:
        arguments.out = HERE
    usual = QUICK if arguments.quick else replace(FULL, seed=secrets.randbelow(2**32))
    seed = usual.seed if arguments.seed is None else arguments.seed
    share = usual.share if arguments.share is None else arguments.share
    return replace(usual, share=share, seed=seed, plugged=tuple(arguments.plug))


def _run(names: Sequence[str], effort: Effort, processes: int) -> dict[str, Measured]:
    if processes == 1:
        return {name: _measure(name, effort) for name in names}
    with ProcessPoolExecutor(processes) as pool:
        measured = pool.map(_measure, names, [effort] * len(names))
        return dict(zip(names, measured, strict=True))


def _measure(name: str, effort: Effort) -> Measured:
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    with seeded(effort.seed):
        found = PARTS[name].run(effort)
    return Measured(found, time.perf_counter() - began, effort.seed)


def _write(folder: Path, results: Mapping[str, Measured]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "STATISTICS.md"
    before = sections(page.read_text()) if page.exists() else {}
    save(page, to_markdown(PARTS, results, before).encode())
    print(f"wrote {page}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
