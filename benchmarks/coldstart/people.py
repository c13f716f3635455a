"""Rows of people whose data differ: a watch on the arms of ten people, writers of digits.

Half 0 of a person's rows is there to teach, half 1 to test: no row, and of the watch no part of a
recording, is in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.coldstart.peers.running import run
from benchmarks.coldstart.study import Work
from examples.digits.data import Digits, Pixels, split
from examples.digits.writers import written

WRITERS: Final = 36
SHUFFLED: Final = 5
"""Fleets of the watch whose owners are shuffled."""

TOLD_APART: Final = 12
"""Writers that are held out at once."""

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """Rows with whom they are of.

    Attributes:
        name: of the data.
        X: [N, d].
        y: classes [N], from 0.
        person: [N]; people are held out, never units.
        unit: [N], for whom a device is asked.
        half: [N], 0 to teach and 1 to test.
        classes: how many there are.
        held_out: groups of people whom one fleet's model has never seen.
        plain: rows of nobody that the model is trained on; without them it is trained on the
            people who are not held out.
    """

    name: str
    X: Pixels
    y: Whole
    person: Whole
    unit: Whole
    half: Whole
    classes: int
    held_out: tuple[tuple[int, ...], ...]
    plain: Digits | None = None

    def of(self, unit: int, half: int) -> Digits:
        """Return the rows of a unit that are to teach (0) or to test (1)."""
        chosen = (self.unit == unit) & (self.half == half)
        return Digits(self.X[chosen], self.y[chosen])

    def units(self, people: tuple[int, ...]) -> list[int]:
        """Return the units of some people."""
        return [int(unit) for unit in np.unique(self.unit[np.isin(self.person, people)])]

    def by_person(self) -> People:
        """Return the same rows where a unit is a whole person."""
        return replace(self, name=f"{self.name.partition(',')[0]}, unit = person", unit=self.person)

    def in_pairs(self) -> People:
        """Return the same rows where two people are held out at once."""
        everybody = [one for group in self.held_out for one in group]
        pairs = zip(everybody[::2], everybody[1::2], strict=False)
        return replace(self, held_out=tuple(pairs))


def people(work: Work) -> People:
    """Return the people that a study is about: of the watch, or in a quick run writers."""
    return _writers(work.seed) if work.quick else _watch(work)


@cache
def _watch(work: Work) -> People:
    found = run("watch_windows.py", work.folder, work.peers)
    person = found["subject"]
    return People(
        name="watch, unit = person and arm",
        X=found["X"],
        y=found["label"],
        person=person,
        unit=2 * person + found["side"],
        half=found["half"],
        classes=7,
        held_out=tuple((int(one),) for one in np.unique(person)),
    )


@cache
def _writers(seed: int) -> People:
    plain, _, rest = split(seed)
    middle = len(rest.y) // 2
    halves = (rest.part(0, middle), rest.part(middle, len(rest.y)))
    parts = [written(digits, WRITERS, 100, seed) for digits in halves]
    writer = np.concatenate([who for _, who in parts])
    return People(
        name="writers of digits",
        X=np.concatenate([rows.X for rows, _ in parts]),
        y=np.concatenate([rows.y for rows, _ in parts]),
        person=writer,
        unit=writer,
        half=np.repeat([0, 1], [len(who) for _, who in parts]),
        classes=10,
        held_out=(tuple(range(TOLD_APART)),),
        plain=plain,
    )


def alike(work: Work) -> list[People]:
    """Return people who do not differ: digits dealt out at random, and shuffled owners."""
    random = work.random(4)
    dealt = _dealt(work.seed)
    if work.quick:
        return [dealt]
    watch = people(work)
    order = random.permutation(len(watch.y))
    shuffled = replace(
        watch,
        name="watch, owners shuffled",
        person=watch.person[order],
        unit=watch.unit[order],
        held_out=watch.held_out[:SHUFFLED],
    )
    return [dealt, shuffled]


def _dealt(seed: int) -> People:
    """Deal digits out to the fleet's units; those who are held out each draw from the others."""
    random = np.random.default_rng(seed)
    plain, *parts = split(seed)
    X, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("X", "y"))
    fleet, teach = int(0.5 * len(y)), int(0.7 * len(y))
    rows, owners = [np.arange(fleet)], [random.integers(TOLD_APART, WRITERS, fleet)]
    for owner in range(TOLD_APART):
        taught = random.permutation(np.arange(fleet, teach))[:60]
        rows.append(np.concatenate([taught, np.arange(teach, len(y))]))
        owners.append(np.full(len(rows[-1]), owner))
    taken, whose = np.concatenate(rows), np.concatenate(owners)
    return People(
        name="digits dealt out at random",
        X=X[taken],
        y=y[taken],
        person=whose,
        unit=whose,
        half=(taken >= teach).astype(np.int64),
        classes=10,
        held_out=(tuple(range(TOLD_APART)),),
        plain=plain,
    )
