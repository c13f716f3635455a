"""``make bench``: measure, and write ``RESULTS.md``, ``results.json`` and a picture."""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import (
    batch,
    entities,
    features,
    large,
    loop,
    many_models,
    packs,
    served_networks,
    serving,
    session_features,
    trees,
    validation,
    variants,
    watching,
    ways,
)  # fmt: skip
from benchmarks.hub import in_process
from benchmarks.models import MODELS, release_of
from benchmarks.packs_elsewhere import measuring as packs_elsewhere
from benchmarks.report import to_markdown
from edge_sdk.bench import machine
from edge_sdk.bench.harness import FULL, QUICK, Effort
from edge_sdk.bench.measuring import measure, spans
from edge_sdk.bench.plot import write_plot
from edge_sdk.bench.result import BenchResult, Findings, joined, load, save
from edge_sdk.errors import BenchError

HERE: Final = Path(__file__).parent
PACKS: Final = "packs"
ELSEWHERE: Final = "packs-elsewhere"
CONVERSION: Final = "conversion"
VARIANTS: Final = "variants"
LARGE: Final = "large"
HUB: Final = "hub"
BATCH: Final = "batch"
ENTITIES: Final = "entities"
WAYS: Final = "ways"
WATCHING: Final = "watching"
NETWORKS: Final = "networks"
MANY: Final = "many-models"
FEATURES: Final = "features"
SESSIONS: Final = "sessions"
LOOP: Final = "loop"
SERVE: Final = "serve"
VALIDATION: Final = "validation"
PARTS: Final = (
    *MODELS, PACKS, ELSEWHERE, CONVERSION, VARIANTS, LARGE, WATCHING, NETWORKS, MANY, FEATURES,
    SESSIONS, HUB, BATCH, ENTITIES, WAYS, VALIDATION, SERVE, LOOP,
)  # fmt: skip
ENTRIES: Final = (10_000, 1_000_000, 10_000_000)
FEW_ENTITIES: Final = 2_000
MANY_ENTITIES: Final = 1_000_000
PICTURE: Final = "results.png"
RESULTS: Final = "results.json"
MEASURED_ON: Final = "measured on"
"""Beginning of the note that says on which machine a part was measured."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run every benchmark; 0 whether goals are met or not."""
    arguments = _parser().parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)  # now: not after an hour of measuring
    before = machine.conditions()
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=arguments.scratch) as folder:
        effort = QUICK if arguments.quick else FULL
        measured = _parts(Path(folder), arguments.only, arguments.entries, effort)
    conditions = spans(before, machine.conditions())
    earlier = _earlier_parts(arguments.out / RESULTS)
    parts = earlier | _with_machine(measured, machine.facts(), conditions)
    parts = {name: parts[name] for name in PARTS if name in parts}
    together = joined(part.under(name) for name, part in parts.items())
    whole = BenchResult("benchmarks", together, machine.facts(), conditions)
    whole.save(arguments.out / RESULTS)
    if together.timings:
        write_plot(whole, arguments.out / PICTURE)
    save(arguments.out / "RESULTS.md", to_markdown(parts, whole, PICTURE).encode())
    print(f"wrote {arguments.out / 'RESULTS.md'}, results.json and {PICTURE}")
    return 0


def _earlier_parts(path: Path) -> dict[str, Findings]:
    """Return the parts of earlier runs; each says on which machine it was measured."""
    if not path.exists():
        return {}
    try:
        before = load(path)
    except BenchError:
        return {}  # of another format
    parts = {name: before.findings.of(name) for name in PARTS}
    parts = {name: part for name, part in parts.items() if part != Findings()}
    return _with_machine(parts, before.machine, before.conditions)


def _with_machine(
    parts: Mapping[str, Findings], facts: Mapping[str, str], conditions: Mapping[str, str]
) -> dict[str, Findings]:
    """Return the parts with a note of the machine on those that have none yet."""
    words = (f"{name} {value}" for name, value in {**facts, **conditions}.items())
    note = Findings(notes=(f"{MEASURED_ON} {', '.join(words)}",))
    return {
        name: part if any(each.startswith(MEASURED_ON) for each in part.notes) else part + note
        for name, part in parts.items()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="coarse, to see that all of it runs")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--entries", type=int, nargs="+", default=ENTRIES, help="of the packs")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of what is written")
    parser.add_argument("--scratch", type=Path, help="folder for stores, up to 4 GB at 1e7 entries")
    return parser


def _parts(
    folder: Path, only: Sequence[str], entries: Sequence[int], effort: Effort
) -> dict[str, Findings]:
    results = {}
    for name in (name for name in MODELS if name in only):
        release = release_of(name, folder)
        results[name] = measure(release.folder, effort, tell=functools.partial(_tell, name))
    parts = {name: result.findings for name, result in results.items()}
    if PACKS in only:
        release = release_of("forest-100", folder / PACKS)
        parts[PACKS] = packs.measure(
            release, folder, sorted(entries), effort, functools.partial(_tell, PACKS)
        )
    if ELSEWHERE in only:
        release = release_of("forest-100", folder / ELSEWHERE)
        size = min(MANY_ENTITIES, max(entries))
        tell = functools.partial(_tell, ELSEWHERE)
        parts[ELSEWHERE] = packs_elsewhere.measure(release, folder / ELSEWHERE, size, effort, tell)
    if CONVERSION in only:
        parts[CONVERSION] = trees.measure(folder, effort, functools.partial(_tell, CONVERSION))
    if VARIANTS in only:
        parts[VARIANTS] = variants.measure(folder, functools.partial(_tell, VARIANTS))
    if LARGE in only:
        parts[LARGE] = large.measure(folder, functools.partial(_tell, LARGE))
    if WATCHING in only:
        place, tell = folder / WATCHING, functools.partial(_tell, WATCHING)
        parts[WATCHING] = watching.measure(place, effort, tell)
    if NETWORKS in only:
        place, tell = folder / NETWORKS, functools.partial(_tell, NETWORKS)
        parts[NETWORKS] = served_networks.measure(place, effort, tell)
    if MANY in only:
        tell = functools.partial(_tell, MANY)
        parts[MANY] = many_models.measure(folder / MANY, effort, tell)
    if FEATURES in only:
        tell = functools.partial(_tell, FEATURES)
        parts[FEATURES] = features.measure(folder / FEATURES, effort, tell)
    if SESSIONS in only:
        parts[SESSIONS] = session_features.measure(effort, functools.partial(_tell, SESSIONS))
    if HUB in only:
        parts[HUB] = in_process.measure(folder, effort, functools.partial(_tell, HUB))
    if LOOP in only:
        parts[LOOP] = loop.measure(folder, effort, functools.partial(_tell, LOOP))
    if VALIDATION in only:
        parts[VALIDATION] = validation.measure(effort, functools.partial(_tell, VALIDATION))
    if BATCH in only:
        parts[BATCH] = batch.measure(folder / BATCH, effort, functools.partial(_tell, BATCH))
    if ENTITIES in only:
        release = release_of("forest-100", folder / ENTITIES)
        size = FEW_ENTITIES if effort is QUICK else MANY_ENTITIES
        tell = functools.partial(_tell, ENTITIES)
        parts[ENTITIES] = entities.measure(release, folder / ENTITIES, size, effort, tell)
    if SERVE in only:
        release = release_of("logistic-regression", folder / SERVE)
        tell = functools.partial(_tell, SERVE)
        parts[SERVE] = serving.measure(release, folder / SERVE, effort, tell)
    if WAYS in only:
        parts[WAYS] = ways.measure(folder / WAYS, effort, functools.partial(_tell, WAYS))
    return parts


def _tell(name: str, what: str) -> None:
    print(f"{name}: {what}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
