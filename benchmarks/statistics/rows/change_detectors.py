"""Detectors of change side by side: ours, fixed thresholds, peers, and what is plugged in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, exact_rate
from benchmarks.statistics.peers import running
from benchmarks.statistics.plugged.detectors import DETECTORS, ON_ERRORS
from benchmarks.statistics.plugged.protocol import Alarms, Detect, named
from benchmarks.statistics.plugged.streams import CHANGE, ERRORS, STREAMS, Errors, Values
from cloud_hub.statistics.samples import Floats

PART_NUMBER: Final = 46
SOON: Final = 3
"""Windows within which a change of a feature counts as found."""

Stream = Values | Errors
Drawn = list[tuple[Floats, Floats]]


def run(effort: Effort) -> list[Row]:
    """Every detector on every stream."""
    values = effort.cells(STREAMS, 2)
    streams: tuple[Stream, ...] = (*values, *ERRORS)
    drawn = {stream.name: _draw(effort, i, stream) for i, stream in enumerate(streams)}
    with_peers = running.available() and not effort.quick
    peers = _peers(values, drawn) if with_peers else {name: {} for name in drawn}
    mine = named(effort.plugged)
    rows: list[Row] = []
    for stream in values:
        rows += _values(stream, {**_run(DETECTORS, mine, drawn[stream.name]), **peers[stream.name]})
    for errors in ERRORS:
        rows += _errors(errors, {**_run(ON_ERRORS, mine, drawn[errors.name]), **peers[errors.name]})
    absent = "left out of the quick campaign" if effort.quick else running.ABSENT
    return rows if with_peers else [*rows, Row("river, NannyML, Evidently", "", absent)]


def _draw(effort: Effort, number: int, stream: Stream) -> Drawn:
    runs = effort.runs(200, least=40)
    return [stream.draw(effort.random(PART_NUMBER, number, i)) for i in range(runs)]


def _run(
    detectors: Mapping[str, Detect], plugged: Mapping[str, Detect], drawn: Drawn
) -> dict[str, list[Alarms]]:
    every = {**detectors, **plugged}
    return {name: [detect(*each) for each in drawn] for name, detect in every.items()}


def _peers(
    values: Sequence[Stream], drawn: Mapping[str, Drawn]
) -> dict[str, dict[str, list[Alarms]]]:
    """Alarms of the peers by stream and detector."""
    found: dict[str, dict[str, list[Alarms]]] = {}
    for name, runs in drawn.items():
        kind = "values" if name in {s.name for s in values} else "errors"
        arrays = {
            "reference": np.stack([reference for reference, _ in runs]),
            "windows": np.stack([windows for _, windows in runs]),
            "kind": np.array(kind),
        }
        with tempfile.TemporaryDirectory() as folder:
            alarms = running.run("plugged.py", Path(folder), **arrays)
        found[name] = {peer: list(each.astype(bool)) for peer, each in alarms.items()}
    return found


def _values(stream: Values, alarms: Mapping[str, Sequence[Alarms]]) -> Iterator[Row]:
    for name, runs in alarms.items():
        early = sum(bool(each[:CHANGE].any()) for each in runs)
        if not stream.changes:
            every = np.concatenate(list(runs))
            told = exact_rate(int(every.sum()), every.size)
            yield Row(f"{stream.name}: {name}: windows with an alarm", "", told)
            continue
        soon = sum(bool(each[CHANGE : CHANGE + SOON].any()) for each in runs)
        found = exact_rate(soon, len(runs))
        about = f"{stream.name}: {name}: found within {SOON} windows"
        yield Row(about, "", f"{found}; alarmed before in {early / len(runs):.0%}")


def _errors(stream: Errors, alarms: Mapping[str, Sequence[Alarms]]) -> Iterator[Row]:
    for name, runs in alarms.items():
        if not stream.changes:
            false = sum(bool(each.any()) for each in runs)
            labels = 20 * stream.windows
            about = f"{stream.name}: {name}: any alarm within {labels:,} labels"
            yield Row(about, "", exact_rate(false, len(runs)))
            continue
        yield Row(f"{stream.name}: {name}: labels until found", "", _delay(stream, runs))


def _delay(stream: Errors, runs: Sequence[Alarms]) -> str:
    firsts = [np.flatnonzero(each) for each in runs]
    early = sum(bool(len(f)) and f[0] < stream.change for f in firsts)
    late: NDArray[np.int_] = np.array(
        [20 * (f[0] - stream.change + 1) for f in firsts if len(f) and f[0] >= stream.change]
    )
    told = f"median {np.median(late):,.0f}" if len(late) else "never found"
    return f"{told} ({len(late)} of {len(runs)} runs, {early} alarmed before)"


PART = Part(
    "Change detectors side by side",
    "The protocol is one function, `detect(reference, windows)`; see `benchmarks/statistics/"
    "plugged`. A feature in 8 windows, which changes with the fifth; errors of a model in windows "
    "of 20 labels, which rise after 2,000. Reference: 10,000 rows. Peers have their defaults.",
    run,
    quick=True,
)
