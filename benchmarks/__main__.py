"""``make bench``: measure everything, and write ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import packs
from benchmarks.footprint import footprint
from benchmarks.models import MODELS, release_of
from benchmarks.predictions import Subject, batches, single_rows, subject, telemetry, threads
from benchmarks.table import Line, markdown
from edge_sdk.bench import machine

RESULTS = Path(__file__).parent / "RESULTS.md"
TITLE = """# Benchmark results

Written by `make bench`. All candidates of a line run in turns in one process, again and again;
figures are medians over those rounds. `edge_sdk` is `EdgeDevice.predict` as an application calls
it, with input checks, a pack lookup that misses, monitoring and telemetry on. Times in µs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run every benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each measurement")
    parser.add_argument("--entries", type=int, nargs="*", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in arguments.models:
            print(f"measuring {model}", file=sys.stderr)
            subject_ = subject(release_of(model, folder), folder)
            lines += _of_model(model, subject_, arguments.seconds)
        lines += _of_packs(folder, arguments.entries, arguments.seconds)
    facts = "\n".join(f"- {name}: {value}" for name, value in machine().items())
    parts = [TITLE, markdown(lines), "## The machine", facts]
    arguments.out.write_text("\n\n".join(parts) + "\n")
    print(f"wrote {arguments.out}")
    return 0


def _of_model(name: str, subject: Subject, seconds: float) -> Iterator[Line]:
    rows = single_rows(subject, seconds)
    ours = rows["edge_sdk"]
    for peer, goal in (("default", 0.75), ("one thread", 1.0), ("prebound", 2.0)):
        other = rows[peer]
        yield Line(
            f"{name}, one row",
            f"{ours.p50:.1f} (p99 {ours.p99:.1f})",
            f"onnxruntime {peer} {other.p50:.1f} (p99 {other.p99:.1f})",
            *(ours.p50 / other.p50, goal),
        )
    for size in (1_000, 100_000):
        found = batches(subject, size, seconds)
        mine, raw = found["edge_sdk"].p50, found["one thread"].p50
        what, against = f"{name}, batch of {size:,}", f"session.run {raw:.0f}"
        yield Line(what, f"{mine:.0f}", against, mine / raw, 1.05)
    yield from _of_process(name, subject, seconds)


def _of_process(name: str, subject: Subject, seconds: float) -> Iterator[Line]:
    cost = telemetry(subject, seconds)
    on, off = cost["on"], cost["off"]
    yield Line(
        *(f"{name}, telemetry a row", f"{on:.2f}", f"monitoring off {off:.2f}"),
        *(on - off, 1.5),
        unit=" µs",
    )
    tails = cost["p99.9 on"], cost["p99.9 off"]
    yield Line(
        *(f"{name}, p99.9 of a call", f"{tails[0]:.3f} ms", f"monitoring off {tails[1]:.3f} ms"),
        *(tails[0] - tails[1], 1.0),
        unit=" ms",
    )
    found = threads(subject, seconds)
    mine, raw = found["edge_sdk"], found["default"]
    measured, against = f"{mine:,.0f} a second", f"session.run {raw:,.0f} a second"
    yield Line(f"{name}, eight threads", measured, against, mine / raw, 1.0, least=True)
    sizes = footprint(subject)
    (import_ms, rss), (bare_ms, bare_rss) = sizes["edge_sdk"], sizes["onnxruntime"]
    yield Line(
        *(f"{name}, import", f"{import_ms:.0f} ms", f"onnxruntime {bare_ms:.0f} ms"),
        *(import_ms - bare_ms, 80.0),
        unit=" ms",
    )
    yield Line(
        *(f"{name}, resident memory", f"{rss:.1f} MiB", f"onnxruntime {bare_rss:.1f} MiB"),
        *(rss - bare_rss, 15.0),
        unit=" MiB",
    )


def _of_packs(folder: Path, sizes: Sequence[int], seconds: float) -> Iterator[Line]:
    release = release_of("forest-100", folder / "packs")
    hits = []
    for entries in sizes:
        print(f"measuring a pack of {entries}", file=sys.stderr)
        found = packs.measure(release, folder, entries, seconds)
        hits.append(found["predict"])
        what = f"pack of {entries:,}"
        known = ("dict", "LMDB", "SQLite", "diskcache")
        others = ", ".join(f"{peer} {found[peer]:.2f}" for peer in known if peer in found)
        yield Line(
            f"{what}, predict answered by it",
            f"{found['predict']:.2f} (p99 {found['predict p99']:.2f})",
            *("the goal", found["predict"], 4.0),
            unit=" µs",
        )
        measured = f"{found['pack']:.2f}, cold {found['cold']:.1f}"
        ratio = found["SQLite"] / found["pack"]
        yield Line(f"{what}, lookup", measured, others, ratio, 3.0, least=True, unit="× SQLite's")
        yield Line(f"{what}, open", "", "the goal", found["open ms"], 1.0, unit=" ms")
        size = found["bytes an entry"]
        yield Line(f"{what}, bytes an entry", "", "the goal", size, 57.0, unit=" B")
    if len(hits) > 1:
        most = max(hits) / min(hits)
        yield Line("pack hit, slowest against fastest size", "", "the goal", most, 1.5)


if __name__ == "__main__":
    sys.exit(main())
