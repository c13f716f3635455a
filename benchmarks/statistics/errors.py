"""Concept drift: delay until a risen error rate is detected, compared with river's detectors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, rate
from benchmarks.statistics.peers import running
from cloud_hub.statistics.detectors.concept import MEAN_RUN, ErrorDetector, base_rate

BEFORE: Final = 2_000
NULL: Final = 20_000
FOUND: Final = ("ADWIN", "DDM", "HDDM_A", "HDDM_W", "Page-Hinkley", "KSWIN")
OURS: Final = "Shiryaev-Roberts e-detector (this hub)"
LEARN: Final = 1_000
"""Labels that the base rate is learned from where none is promised."""

Bits = NDArray[np.uint8]


def run(effort: Effort) -> list[Row]:
    """The rise of .10 to .20; then streams of a frozen model, and annotated series."""
    rows = _rise(effort)
    if not running.available():
        return [*rows, Row("river's detectors on the same", "", running.ABSENT)]
    with tempfile.TemporaryDirectory() as folder:
        random = effort.random(4)
        null = (random.random((effort.runs(40), NULL)) < 0.1).astype(np.uint8)
        peers = running.run(
            "detectors.py", Path(folder), null=null, risen=_risen(random, effort.runs(100))
        )
    return [*rows, *_peers(peers), *_streams(peers)]


def _risen(random: np.random.Generator, runs: int) -> Bits:
    rates = np.repeat([0.1, 0.2], [BEFORE, 1_500])
    return (random.random((runs, len(rates))) < rates).astype(np.uint8)


def _rise(effort: Effort) -> list[Row]:
    random, runs = effort.random(5), effort.runs(1_000)
    false = sum(_first((random.random(NULL) < 0.1).astype(np.uint8), 20) >= 0 for _ in range(runs))
    rows = [
        Row(
            f"{OURS}: false alarms within {NULL:,} labels at an error rate of .10",
            "≤ 1%", rate(false, runs), false / runs <= 0.01,
        )
    ]  # fmt: skip
    for batch in (1, 20, 100):
        firsts = np.array([_first(row, batch) for row in _risen(random, effort.runs(300))])
        late = firsts[firsts >= BEFORE] - BEFORE + 1
        median = float(np.median(late))
        delay = f"{median:.0f} labels, 90% within {np.quantile(late, 0.9):.0f}"
        name = f"{OURS}: median delay, .10 → .20, labels in batches of {batch}"
        goal = ("≤ 250 labels", median <= 250) if batch == 1 else ("", None)
        rows.append(Row(name, goal[0], delay, goal[1]))
    return rows


def _first(errors: Bits, batch: int) -> int:
    """The label of the first alarm, -1 without one; the release promised an error rate of .10."""
    return next(iter(_alarms(errors, batch, 0.1)), -1)


def _alarms(errors: Bits, batch: int, base: float) -> Iterator[int]:
    detector = ErrorDetector()
    for start in range(0, len(errors), batch):
        part = errors[start : start + batch]
        detector.add(start, [(len(part), int(part.sum()), base)])
        if detector.evidence >= MEAN_RUN:
            yield start + len(part) - 1


def _peers(peers: Mapping[str, NDArray[Any]]) -> Iterator[Row]:
    for name in FOUND:
        null, risen = peers[f"null/{name}"], peers[f"risen/{name}"]
        late = risen[risen >= BEFORE] - BEFORE + 1
        early = int(((risen >= 0) & (risen < BEFORE)).sum())
        delay = f"median delay {np.median(late):.0f} labels" if len(late) else "never found"
        false = f"false alarms within {NULL:,}: {rate(int((null >= 0).sum()), len(null))}"
        yield Row(f"river's {name} on the same", "", f"{delay} ({early} alarmed before); {false}")
    yield Row("always alarming", "", "median delay 1 label; false alarms: 100%")


def _streams(peers: Mapping[str, NDArray[Any]]) -> Iterator[Row]:
    """Detected changes, delay and false alarms over two groups of streams."""
    names = [key.removeprefix("change:") for key in peers if key.startswith("change:")]
    for group, some in (
        ("synthetic streams, frozen tree", [n for n in names if not n.startswith("series")]),
        ("annotated series", [n for n in names if n.startswith("series")]),
    ):
        errors = {name: peers[f"error:{name}"] for name in some}
        changes = {name: peers[f"change:{name}"].tolist() for name in some}
        ours = {name: _restarting(errors[name], group) for name in some}
        yield _judged(f"{group}: {OURS}", ours, changes)
        for peer in FOUND:
            theirs = {name: peers[f"error:{name}/{peer}"].tolist() for name in some}
            yield _judged(f"{group}: river's {peer}", theirs, changes)
        always = {name: list(range(len(errors[name]))) for name in some}
        yield _judged(f"{group}: always alarming", always, changes)


def _restarting(errors: Bits, group: str) -> list[int]:
    """All alarms; after each, as after ``acknowledge --rebase``, the next labels are the base."""
    learn = LEARN if group.startswith("synthetic") else len(errors) // 4
    alarms, at = [], 0
    while at + learn < len(errors):
        base = base_rate(int(errors[at : at + learn].sum()), learn)
        rest = errors[at + learn :]
        alarm = next(_alarms(rest, 1, base), None)
        if alarm is None:
            break
        alarms.append(at + learn + alarm)
        at += learn + alarm + 1
    return alarms


def _judged(
    name: str, alarms: Mapping[str, Sequence[int]], changes: Mapping[str, Sequence[int]]
) -> Row:
    """An alarm is right if it is the first after a change and before the next one."""
    delays: list[int] = []
    false = total = 0
    for stream, times in alarms.items():
        ends = [*changes[stream][1:], None]
        total += len(changes[stream])
        right = 0
        for change, end in zip(changes[stream], ends, strict=True):
            after = [t for t in times if t >= change and (end is None or t < end)]
            delays += [after[0] - change + 1] if after else []
            right += bool(after)
        false += len(times) - right
    delay = f"median delay {np.median(delays):,.0f}" if delays else "no delay"
    return Row(name, "", f"{len(delays)} of {total} changes, {delay}, {false:,} other alarms")


PART = Part(
    "Concept drift on late labels",
    "Errors come one by one or in batches; the detector is declared a mean run of 2,000,000 labels "
    "to a false alarm, river's detectors have their defaults (KSWIN takes part in four runs a "
    "table, for its time). Synthetic streams change after 5,000 labels, within 50 or over 2,000; a "
    "Hoeffding tree learned before and stays as it is. Annotated series are 0 or 1: outside of the "
    "middle 80% of their first quarter; a change is what three annotators agree on.",
    run,
)
