"""New people: accuracy after few labels, beside the fleet's model, retraining and river."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.coldstart.lines import Line, line_without, network
from benchmarks.coldstart.peers.running import available, run
from benchmarks.coldstart.people import People, people
from benchmarks.coldstart.picture import curves
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.coldstart.teaching import COUNTS, session, shuffled
from benchmarks.statistics.part import Row
from examples.digits.data import Digits

ORDERS: Final = 4
"""Orders in which a unit's rows are taught."""

OWN_WEIGHT: Final = 5
"""Times that a person's rows count beside the fleet's, where a network is trained on both."""

LEAST_LOGIT: Final = -8.0
OURS: Final = "**personalised on the device**"
FLEET: Final = "the fleet's model"
ORACLE: Final = "the unit's own oracle"

Answer = Callable[[Digits], float]


@dataclass
class Curves:
    """Accuracy by method: one row of accuracies at :data:`COUNTS` for each unit and order."""

    found: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)

    def add(self, method: str, accuracies: tuple[float, ...]) -> None:
        """Note one run."""
        self.found.setdefault(method, []).append(accuracies)

    def means(self) -> Mapping[str, tuple[float, ...]]:
        """Return each method's mean accuracy at each count."""
        return {
            method: tuple(float(value) for value in np.mean(runs, axis=0))
            for method, runs in self.found.items()
        }

    def closed(self, count: int) -> float:
        """Return the share of the gap between fleet and oracle that ours closes by a count."""
        means, at = self.means(), COUNTS.index(count)
        low, high = means[FLEET][at], means[ORACLE][at]
        return (means[OURS][at] - low) / (high - low)


def measured(work: Work, whom: People, *, rivals: bool = True) -> Curves:
    """Teach every unit of people that the fleet has not seen.

    Args:
        work: how much.
        whom: the people.
        rivals: whether to retrain, and to ask river, at each count.
    """
    found = Curves()
    for group in whom.held_out:
        line = line_without(work, whom, group)
        personalised(work, line, group, found)
        for *_, teach, test in _in_first_order(work, line.people, group):
            found.add(ORACLE, (_with_fleet(line, teach)(test),) * len(COUNTS))
        if rivals:
            _retrained(work, line, group, found)
        if rivals and available(work.peers) and not work.quick:
            _river(work, line, group, found)
    return found


def personalised(work: Work, line: Line, group: tuple[int, ...], found: Curves) -> None:
    """Teach a device each unit of a group, and note its accuracy and the fleet's."""
    with line.device() as device:
        for unit, order, teach, test in _sessions(work, line.people, group):
            met = session(device, f"{unit}-{order}", teach, test)
            found.add(OURS, met.accuracy)
            found.add(FLEET, (met.fleet,) * len(COUNTS))


def _retrained(work: Work, line: Line, group: tuple[int, ...], found: Curves) -> None:
    # A network for each count: one order will do.
    for *_, teach, test in _in_first_order(work, line.people, group):
        found.add("trained anew: fleet and labels", _by_count(line, teach, test, _with_fleet))
        found.add("trained anew: labels alone", _by_count(line, teach, test, _alone))


def _by_count(
    line: Line, teach: Digits, test: Digits, train: Callable[[Line, Digits], Answer]
) -> tuple[float, ...]:
    parts = [Digits(teach.X[:count], teach.y[:count]) for count in COUNTS]
    return tuple(train(line, part)(test) for part in parts)


def _with_fleet(line: Line, own: Digits) -> Answer:
    if not len(own.y):
        model = line.model
    else:
        X = np.concatenate([line.trained.X, *[own.X] * OWN_WEIGHT])
        model = network(Digits(X, np.concatenate([line.trained.y, *[own.y] * OWN_WEIGHT])), 0)
    return lambda test: float(model.score(test.X, test.y))


def _alone(line: Line, own: Digits) -> Answer:
    if len(np.unique(own.y)) < 2:  # nothing to tell apart yet
        first = own.y[0] if len(own.y) else 0
        return lambda test: float(np.mean(test.y == first))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(own.X, own.y)
    return lambda test: float(model.score(test.X, test.y))


def _river(work: Work, line: Line, group: tuple[int, ...], found: Curves) -> None:
    scale = line.model.named_steps["scale"]

    def basis(rows: Digits) -> NDArray[np.float64]:
        scores = np.log(line.model.predict_proba(rows.X) + 1e-6)
        return np.concatenate([scale.transform(rows.X), np.clip(scores, LEAST_LOGIT, 0)], axis=1)

    first = _in_first_order(work, line.people, group)
    units = np.array([unit for unit, *_ in first])
    parts = {"teach": [teach for *_, teach, _ in first], "test": [test for *_, test in first]}
    arrays = {"fleet": basis(line.trained), "fleet_y": line.trained.y, "counts": np.array(COUNTS)}
    for part, rows in parts.items():
        arrays[part] = np.concatenate([basis(each) for each in rows])
        arrays[f"{part}_y"] = np.concatenate([each.y for each in rows])
        arrays[f"{part}_unit"] = np.repeat(units, [len(each.y) for each in rows])
    for learner, accuracies in run("online_learners.py", work.folder, work.peers, **arrays).items():
        for each in accuracies:
            found.add(f"river: {learner}", tuple(each))


def _sessions(
    work: Work, whom: People, group: tuple[int, ...]
) -> Iterator[tuple[int, int, Digits, Digits]]:
    for unit in whom.units(group):
        for order in range(1 if work.quick else ORDERS):
            teach = shuffled(whom.of(unit, 0), work.random(1, unit, order))
            yield unit, order, teach, whom.of(unit, 1)


def _in_first_order(
    work: Work, whom: People, group: tuple[int, ...]
) -> list[tuple[int, int, Digits, Digits]]:
    return [each for each in _sessions(work, whom, group) if each[1] == 0]


def measure(work: Work) -> StudyResult:
    """Compare all methods on units, and where a unit is a person with both arms."""
    whom = people(work)
    found = measured(work, whom)
    rows, tables = _rows(whom.name, found), [_table(whom.name, found)]
    pictures = {"cold_start.svg": curves(COUNTS, _shown(found), whom.name)}
    if not work.quick:
        both = whom.by_person()
        mixed = measured(work, both, rivals=False)
        rows += _rows(both.name, mixed)
        tables.append(_table(both.name, mixed))
    return StudyResult(rows, tables, pictures)


def _rows(name: str, found: Curves) -> list[Row]:
    means = found.means()
    least = min(a - b for a, b in zip(means[OURS], means[FLEET], strict=True))
    rows = [
        Row(f"{name}: gap to the oracle closed by {n} labels", f"≥ {g:.0%}", f"{c:.0%}", c >= g)
        for n, g in ((10, 1 / 3), (50, 2 / 3))
        if (c := found.closed(n)) is not None
    ]
    lowest = f"{100 * least:+.1f} points"
    rows.append(Row(f"{name}: ours less the fleet's, at the worst count", "≥ -1 point", lowest,
                    least >= -0.01))  # fmt: skip
    return rows


def _table(name: str, found: Curves) -> str:
    heads = " | ".join(str(count) for count in COUNTS)
    lines = [f"Accuracy by labels, {name}:", ""]
    lines += [f"| method | {heads} |", f"|---|{'---:|' * len(COUNTS)}"]
    for method, accuracies in found.means().items():
        cells = " | ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        lines.append(f"| {method} | {cells} |")
    return "\n".join(lines)


def _shown(found: Curves) -> Mapping[str, tuple[float, ...]]:
    means = found.means()
    shown = {"with": means[OURS], "without": means[FLEET], "oracle": means[ORACLE]}
    rivals = {method: at for method, at in means.items() if method.startswith("river")}
    if rivals:
        best = max(rivals, key=lambda method: rivals[method][-1])
        shown[best] = rivals[best]
    return shown


STUDY: Final = Study(
    "New people",
    "Leave one person out: network, release and prior are made of the others, the person's units "
    "come to the device without any history. The first half of each recording teaches, in "
    f"{ORDERS} random orders (peers: one); the second is the test. *Trained anew* is done after "
    "each count: on the labels alone (logistic regression), or on fleet and labels, which count "
    f"{OWN_WEIGHT} times; the oracle is the latter with all of the unit's first halves. river's "
    "learners go through the fleet's rows first and then through the unit's; they get the same "
    "features, scaled, and the release's log-probabilities.",
    measure,
)
