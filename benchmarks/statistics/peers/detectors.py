"""River's detectors on streams of errors, and streams that river brings.

``python detectors.py GIVEN.npz TOLD.npz``: every array of GIVEN [runs, labels] of 0 and 1 goes
through every detector. TOLD has the first alarm of each run (-1: none) as ``STREAM/DETECTOR``, and
streams of errors as ``error:NAME`` with all alarms as ``error:NAME/DETECTOR``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from river import drift, tree
from river.datasets import synth
from river.drift import binary
from river.drift import datasets as annotated

DETECTORS: dict[str, Callable[[], Any]] = {
    "ADWIN": drift.ADWIN,
    "DDM": binary.DDM,
    "HDDM_A": binary.HDDMA,
    "HDDM_W": binary.HDDMW,
    "Page-Hinkley": drift.PageHinkley,
    "KSWIN": lambda: drift.KSWIN(seed=0),
}
SLOW = {"KSWIN": 4}
"""Runs of detectors that take a test on two windows at every label."""

BEFORE, LENGTH = 2_000, 12_000
CHANGE = 5_000
PAIRS = {
    "SEA": (synth.SEA(variant=0, seed=1), synth.SEA(variant=3, seed=1)),
    "Sine": (synth.Sine(0, seed=1), synth.Sine(3, seed=1)),
    "Stagger": (synth.STAGGER(0, seed=1), synth.STAGGER(2, seed=1)),
    "Agrawal": (synth.Agrawal(0, seed=1), synth.Agrawal(4, seed=1)),
    "Mixed": (synth.Mixed(0, seed=1), synth.Mixed(1, seed=1)),
}
SERIES = ("AirlinePassengers", "Bitcoin", "Occupancy", "RunLog", "UKCoalEmploy")


def main() -> None:
    """Read, measure, write."""
    with np.load(sys.argv[1]) as file:
        given = {name: file[name] for name in file.files}
    told: dict[str, Any] = {}
    for stream, runs in given.items():
        for name, make in DETECTORS.items():
            some = runs[: SLOW.get(name, len(runs))]
            told[f"{stream}/{name}"] = np.array([_first(make(), row) for row in some])
    for name, errors, changes in _streams():
        told[f"error:{name}"] = errors
        told[f"change:{name}"] = np.array(changes)
        for detector, make in DETECTORS.items():
            told[f"error:{name}/{detector}"] = np.array(_alarms(make(), errors), dtype=np.int64)
    np.savez(sys.argv[2], **told)


def _first(detector: Any, row: Any) -> int:
    for i, x in enumerate(row.tolist()):
        detector.update(x)
        if detector.drift_detected:
            return i
    return -1


def _alarms(detector: Any, row: Any) -> list[int]:
    """River's detectors begin anew after an alarm by themselves."""
    found = []
    for i, x in enumerate(row.tolist()):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found


def _streams() -> Iterator[tuple[str, Any, list[int]]]:
    for name, (before, after) in PAIRS.items():
        for width in (50, 2_000):
            mixed = synth.ConceptDriftStream(
                before, after, position=BEFORE + CHANGE, width=width, seed=1
            )
            yield f"{name}, width {width:,}", _frozen_errors(mixed), [CHANGE]
    for name in SERIES:
        yield f"series {name}", *_unusual(getattr(annotated, name)())


def _frozen_errors(stream: Any) -> Any:
    """Errors of a tree that learned from the first rows and then stays as it is."""
    model, errors = tree.HoeffdingTreeClassifier(), []
    for i, (x, y) in enumerate(stream.take(BEFORE + LENGTH)):
        if i < BEFORE:
            model.learn_one(x, y)
        else:
            errors.append(model.predict_one(x) != y)
    return np.array(errors, np.uint8)


def _unusual(series: Any) -> tuple[Any, list[int]]:
    """Whether each value is outside of the middle 80% of the first quarter; and what most
    annotators call a change.
    """
    values = np.array([next(iter(y.values())) if isinstance(y, dict) else y for _, y in series])
    low, high = np.quantile(values[: len(values) // 4], [0.1, 0.9])
    near = len(values) // 20
    marks = list(series.annotations.values())
    said = sorted({at for found in marks for at in found if at < len(values)})
    agreed: list[int] = []
    for at in said:
        who = sum(any(abs(at - other) <= near for other in found) for found in marks)
        if who >= 3 and (not agreed or at - agreed[-1] > near):
            agreed.append(at)
    return ((values < low) | (values > high)).astype(np.uint8), agreed


if __name__ == "__main__":
    main()
