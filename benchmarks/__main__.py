"""``make bench``: measure, and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import packs
from benchmarks.models import MODELS, release_of
from edge_sdk import bench

RESULTS = Path(__file__).parent / "RESULTS.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run every benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each model")
    parser.add_argument("--entries", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    parts = [
        "# Benchmark results",
        "Written by `make bench`. Rounds of all candidates are interleaved; figures are medians "
        "over rounds, in microseconds. `edge_sdk predict` is what an application calls, with input "
        "checks and monitoring on.",
        "## One row and a batch",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            print(f"measuring {name}", file=sys.stderr)
            release = release_of(name, Path(folder))
            parts.append(bench.to_markdown(bench.measure(release.folder, arguments.seconds)))
        parts += ["## Pack lookups", _packs(Path(folder), arguments.entries)]
    arguments.out.write_text("\n\n".join(parts) + "\n")
    print(f"wrote {arguments.out}")
    return 0


def _packs(folder: Path, sizes: Sequence[int]) -> str:
    release = release_of("forest-100", folder / "packs")
    lines = [
        "Ten float32 outputs an entry, keys drawn at random, warm.",
        "",
        "| entries | pack µs | dict µs | SQLite µs | bytes an entry | open ms |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for entries in sizes:
        print(f"measuring a pack of {entries}", file=sys.stderr)
        found = packs.measure(release, folder, entries)
        lines.append(
            f"| {entries} | {found['pack_us']:.2f} | {found['dict_us']:.2f} | "
            f"{found['sqlite_us']:.2f} | {found['bytes_per_entry']:.1f} | {found['open_ms']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
