"""Late labels: a bounded table of predictions that wait for one, and the outcomes of labels.

A prediction is found for as long as fewer than ``capacity`` newer ones were made; a row of a batch
for as long as newer batches have fewer than ``capacity`` rows together. The table is made of NumPy
arrays, so that the garbage collector never walks through it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.limits import LARGEST_ERROR
from edge_sdk.contract.window import SOURCES
from edge_sdk.errors import InputError
from edge_sdk.telemetry.key_counts import NO_BUCKET, OutcomesByBucket
from edge_sdk.validation import is_number

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.serving_terms import Reporting
    from edge_sdk.telemetry.groups import Codes, Grouping
    from edge_sdk.telemetry.key_counts import Buckets

Group = tuple[str, str]
"""A declared column and one of its groups."""

ROOM: Final = 2_048
"""Predictions for which a table has room at first; it grows until its capacity, as they come."""

LABELLED: Final = 1
REWARDED: Final = 2
_BY_ENTITY: Final = 4
"""Bits of a prediction's state: its label came; its reward did; it answered an entity's name."""


def bits_of(label: Any, reward: Any) -> int:
    """Return which of the two came, as bits of a prediction's state."""
    return (LABELLED if label is not None else 0) | (REWARDED if reward is not None else 0)


class ErrorRules(NamedTuple):
    """Rules for errors of numbers, in the unit of the label; see
    :class:`~edge_sdk.contract.serving_terms.Reporting`.
    """

    right_within: float | None = None
    largest: float | None = None

    @classmethod
    def of(cls, reporting: Reporting) -> ErrorRules:
        """Return the rules that a plan sets."""
        return cls(reporting.right_within, reporting.largest_error)


@dataclass
class LabelOutcomes:
    """Sufficient statistics of the labels and rewards that came for one window."""

    labelled: int = 0
    correct: int = 0
    own_labelled: int = 0
    own_correct: int = 0
    by_source: dict[str, tuple[int, int]] = field(default_factory=dict)
    rewards: int = 0
    reward_sum: float = 0.0
    reward_squares: float = 0.0
    groups: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    measured: int = 0
    error_sum: float = 0.0
    error_squares: float = 0.0
    error_fourths: float = 0.0
    buckets: OutcomesByBucket | None = None

    def add_label(self, source: str, correct: bool, own_correct: bool | None) -> None:
        """Count one label.

        Args:
            source: of the answer.
            correct: the answer was right.
            own_correct: the on-device model's was; ``None`` where it was not asked.
        """
        self.labelled += 1
        self.correct += correct
        if own_correct is not None:
            self.own_labelled += 1
            self.own_correct += own_correct
        labelled, right = self.by_source.get(source, (0, 0))
        self.by_source[source] = (labelled + 1, right + correct)

    def add_group(self, group: Group, own_correct: bool) -> None:
        """Count one label of the on-device model's own answer for a group."""
        groups = self.groups.setdefault(group[0], {})
        labelled, right = groups.get(group[1], (0, 0))
        groups[group[1]] = (labelled + 1, right + own_correct)

    def add_reward(self, reward: float, bucket: int = NO_BUCKET) -> None:
        """Count one numeric outcome.

        Args:
            reward: the number.
            bucket: of the key that it was for.
        """
        self.rewards += 1
        self.reward_sum += reward
        self.reward_squares += reward * reward
        if bucket != NO_BUCKET:
            self.of_buckets().add_reward(bucket, reward)

    def of_buckets(self) -> OutcomesByBucket:
        """Return the outcomes by bucket of the keys, begun here where there are none yet."""
        if self.buckets is None:
            self.buckets = OutcomesByBucket()
        return self.buckets

    def columns(self) -> dict[str, Any]:
        """Return the fields of the report, by name."""
        return {**vars(self), "buckets": None if self.buckets is None else self.buckets.report()}

    def add_error(self, size: float) -> None:
        """Count by how much one number was off."""
        square = size * size
        self.measured += 1
        self.error_sum += size
        self.error_squares += square
        self.error_fourths += square * square


def error_size(answer: float, label: float, largest: float | None) -> float | None:
    """Return by how much a number is off; ``None`` if that cannot be summed.

    An error is cut at ``largest``. What is not even a number is as far off as can be: a model must
    not gain by answering NaN where it is bad.

    Args:
        answer: a regressor's number.
        label: that came later.
        largest: as much as an error counts at most; ``None``: nothing is cut.
    """
    size = abs(answer - label)
    if largest is not None:
        return size if size <= largest else largest
    return size if size <= LARGEST_ERROR else None


def is_right(answer: Any, label: Label | float, within: float | None) -> bool | None:
    """Return whether an answer is right; ``None`` if that cannot be said.

    Args:
        answer: a label, or a regressor's number.
        label: that came later.
        within: a number is right if it is off by at most so much.
    """
    if answer is None:
        return None
    if isinstance(answer, float) and not isinstance(label, str):
        return None if within is None else abs(answer - label) <= within
    return bool(answer == label)


def join(
    outcomes: LabelOutcomes,
    source: str,
    answer: Any,
    own: Label | float | None,
    label: Label | float,
    groups: Iterable[Group] = (),
    rules: ErrorRules = ErrorRules(),
    bucket: int = NO_BUCKET,
) -> None:
    """Count a label: right or wrong, and by how much the model's own number is off.

    Args:
        outcomes: of the window; added to.
        source: of the answer.
        answer: that was served.
        own: the on-device model's label; ``None`` where it was not asked. Of a number, the
            model's own where another was served in its place.
        label: that came later.
        groups: of the prediction, by column.
        rules: when a number is right, and how much an error counts at most.
        bucket: of the key that the prediction was made for.
    """
    if isinstance(answer, float) and not isinstance(label, str):
        if own is None and source == "model":
            own = answer
        size = None if own is None else error_size(own, label, rules.largest)  # type: ignore[arg-type]
        if size is not None:
            outcomes.add_error(size)
    right = is_right(answer, label, rules.right_within)
    if right is None:
        return
    own_right = is_right(own, label, rules.right_within)
    outcomes.add_label(source, right, own_right)
    if bucket != NO_BUCKET:
        outcomes.of_buckets().add_served(bucket, right)
    if own_right is None:
        return
    for group in groups:
        outcomes.add_group(group, own_right)
    if bucket != NO_BUCKET:
        outcomes.of_buckets().add_label(bucket, own_right)


class Unlabelled(NamedTuple):
    """A single prediction whose label, or reward, did not come yet.

    ``source`` is an index into :data:`SOURCES`; ``state`` has the bits of what came.
    """

    number: int
    source: int
    answer: Label | float | None
    own: Label | None
    state: int = 0
    groups: tuple[Group, ...] = ()
    bucket: int = NO_BUCKET


class AnswerColumns(NamedTuple):
    """Predictions by column: what a label has to be compared with, and where it is counted.

    ``answers`` holds the label, or the number a regressor gave, or ``None``; ``own`` the label of
    the on-device model, ``None`` where it was not asked; ``sources`` indices into
    :data:`SOURCES`; ``rows`` the feature values where they may be shared, else it is ``None``;
    ``groups`` the codes of declared groups, where the release has some; ``buckets`` those of the
    keys, where they are counted.
    """

    windows: NDArray[Any]
    taken: NDArray[Any]
    sources: NDArray[np.uint8]
    answers: NDArray[Any]
    own: NDArray[Any]
    rows: NDArray[Any] | None = None
    groups: Codes | None = None
    buckets: Buckets | None = None


class UnlabelledColumns:
    """Predictions by column, and which of them have their label or reward."""

    def __init__(self, answered: AnswerColumns) -> None:
        self.answered = answered
        self.states = np.zeros(len(answered.answers), dtype=np.uint8)

    @classmethod
    def empty(cls, count: int, *, rows: bool, columns: int = 0) -> UnlabelledColumns:
        """Return room for predictions.

        Args:
            count: of predictions.
            rows: with their feature values.
            columns: declared columns of groups.
        """
        windows, taken = np.zeros((2, count), np.uint32)  # Unix seconds until the year 2106
        answers, own = np.empty(count, object), np.empty(count, object)
        values = np.empty(count, object) if rows else None
        sources = np.zeros(count, np.uint8)
        groups = np.zeros((count, columns), np.uint8) if columns else None
        return cls(AnswerColumns(windows, taken, sources, answers, own, values, groups))

    def grow(self, count: int) -> None:
        """Make room for ``count`` predictions; those that it has keep their places."""
        kept = {name: each for name, each in self.answered._asdict().items() if each is not None}
        larger = {name: enlarged(each, count) for name, each in kept.items()}
        self.answered = self.answered._replace(**larger)
        self.states = enlarged(self.states, count)

    def keep_buckets(self) -> None:
        """Make room for the buckets of keys, from now on."""
        buckets = np.full(len(self), NO_BUCKET, np.uint8)
        self.answered = self.answered._replace(buckets=buckets)

    def put(self, places: NDArray[np.int64], answered: AnswerColumns, state: int) -> None:
        """Write ``answered`` over what is at ``places``, all in the same state."""
        table: Iterable[NDArray[Any] | None] = self.answered
        for mine, theirs in zip(table, answered, strict=True):
            if mine is not None:
                mine[places] = theirs
        self.states[places] = state

    def __len__(self) -> int:
        return len(self.states)


def enlarged(column: NDArray[Any], count: int) -> NDArray[Any]:
    """Return a column of ``count`` that begins with another one."""
    larger = np.zeros((count, *column.shape[1:]), column.dtype)
    larger[: len(column)] = column
    return larger


class Place(NamedTuple):
    """One prediction in a table."""

    name: str
    table: UnlabelledColumns
    at: int

    @property
    def taken(self) -> int:
        """Return the time at which it was made, Unix seconds."""
        return int(self.table.answered.taken[self.at])

    @property
    def row(self) -> tuple[Any, ...] | None:
        """Return its feature values, if they may be shared."""
        rows = self.table.answered.rows
        row: tuple[Any, ...] | None = None if rows is None else rows[self.at]
        return row

    @property
    def window(self) -> int:
        """Return the start of its window, Unix seconds."""
        return int(self.table.answered.windows[self.at])

    @property
    def groups(self) -> Sequence[int]:
        """Return the codes of its declared groups."""
        groups = self.table.answered.groups
        return () if groups is None else groups[self.at].tolist()

    @property
    def bucket(self) -> int:
        """Return the bucket of its key."""
        buckets = self.table.answered.buckets
        return NO_BUCKET if buckets is None else int(buckets[self.at])

    def mark(self, what: int, name: str) -> None:
        """Note that the label or reward has come; raises :class:`InputError` the second time."""
        if self.table.states[self.at] & what:
            raise InputError("label", f"prediction {self.name}: has its {name} already")
        self.table.states[self.at] |= what


class LabelJoin:
    """Joins late labels with predictions.

    Not thread-safe: its monitor calls it under a lock.

    Args:
        capacity: single predictions that are remembered at most; rows of batches likewise.
        grouping: declared groups of the release.
        rows: their feature values are remembered too, because they may be shared.
        rules: when a regressor's number is right, and how much an error counts at most.
    """

    def __init__(
        self,
        capacity: int,
        grouping: Grouping,
        *,
        rows: bool = False,
        rules: ErrorRules = ErrorRules(),
    ) -> None:
        self._capacity = capacity
        self._rules = rules
        self._grouping = grouping
        room = min(capacity, ROOM)
        self._table = UnlabelledColumns.empty(room, rows=rows, columns=len(grouping.columns))
        self._numbers = np.zeros(room, np.int64)
        self._batches: dict[int, UnlabelledColumns] = {}
        self.outcomes: defaultdict[int, LabelOutcomes] = defaultdict(LabelOutcomes)
        self.unmatched = 0

    def keep_buckets(self) -> None:
        """Count outcomes by bucket of the keys, from the next prediction on."""
        self._table.keep_buckets()

    def add(
        self, numbers: Sequence[int], answered: AnswerColumns, *, by_entity: bool = False
    ) -> None:
        """Remember predictions; beyond the capacity the oldest are forgotten.

        Args:
            numbers: of them.
            answered: what was answered.
            by_entity: the names of entities were, each.
        """
        named = np.asarray(numbers, dtype=np.int64)
        self._make_room(int(named.max(initial=0)))
        places = named % len(self._table)
        self._table.put(places, answered, _BY_ENTITY if by_entity else 0)
        self._numbers[places] = named

    def _make_room(self, highest: int) -> None:
        """Let the table grow until the number ``highest`` has a place, or to the capacity."""
        room = len(self._table)
        if highest < room or room == self._capacity:
            return
        # So far the place of a prediction is its number, which stays so in a larger table.
        room = min(self._capacity, max(4 * room, highest + 1))
        self._table.grow(room)
        self._numbers = enlarged(self._numbers, room)

    def add_batch(self, number: int, answered: AnswerColumns) -> None:
        """Remember a batch; the oldest are forgotten until the rest are within the capacity."""
        self._batches[number] = UnlabelledColumns(answered)
        while len(self._batches) > 1 and sum(map(len, self._batches.values())) > self._capacity:
            self._batches.pop(next(iter(self._batches)))

    def is_by_entity(self, number: str) -> bool:
        """Return whether a prediction is known, and answered the name of an entity."""
        place = self._single(number) if is_number(number) else None
        return place is not None and bool(place.table.states[place.at] & _BY_ENTITY)

    def find(self, number: str) -> Place:
        """Return the prediction ``number`` (``"17"``, or ``"17.4"`` for row 4 of batch 17).

        Raises:
            InputError: it is unknown or was forgotten; counted as unmatched.
        """
        name, dot, index = number.partition(".")
        place = None
        if is_number(name) and not dot:
            place = self._single(name)
        elif is_number(name) and is_number(index):
            place = self._in_batch(number, self._batches.get(int(name)), int(index))
        if place is None:
            self.unmatched += 1
            raise InputError(
                "unknown_prediction",
                f"prediction {number}: expected one of the last {self._capacity} of this process",
            )
        return place

    def _single(self, name: str) -> Place | None:
        number = int(name)
        index = number % len(self._table)
        # A newer prediction may have taken the place since.
        still_there = number > 0 and int(self._numbers[index]) == number
        return Place(name, self._table, index) if still_there else None

    def _in_batch(self, name: str, batch: UnlabelledColumns | None, index: int) -> Place | None:
        return None if batch is None or index >= len(batch) else Place(name, batch, index)

    def label(self, place: Place, label: Label | float) -> None:
        """Join a label with its prediction: right or wrong, and by how much a number is off.

        Raises:
            InputError: it has one already.
        """
        place.mark(LABELLED, "label")
        made, at = place.table.answered, place.at
        source = SOURCES[made.sources[at]]
        outcomes, groups = self.outcomes[place.window], self._grouping.names(place.groups)
        answer, own = made.answers[at], made.own[at]
        join(outcomes, source, answer, own, label, groups, self._rules, place.bucket)

    def reward(self, place: Place, reward: float) -> None:
        """Join a numeric outcome with its prediction.

        Raises:
            InputError: it has one already.
        """
        place.mark(REWARDED, "reward")
        self.outcomes[place.window].add_reward(reward, place.bucket)

    def unlabelled(self, after: int, most: int) -> dict[int, list[Unlabelled]]:
        """Return single predictions whose label did not come, by window start.

        Args:
            after: only those with higher numbers.
            most: the newest so many.
        """
        made, states = self._table.answered, self._table.states
        open_ = (self._numbers > after) & ((states & LABELLED) == 0)
        places = np.flatnonzero(open_)
        newest = places[np.argsort(self._numbers[places])][-most:]
        by_window: dict[int, list[Unlabelled]] = {}
        for at in newest.tolist():
            if made.answers[at] is not None:
                place = Place("", self._table, at)
                prediction = Unlabelled(
                    int(self._numbers[at]),
                    int(made.sources[at]),
                    made.answers[at],
                    made.own[at],
                    int(states[at]),
                    tuple(self._grouping.names(place.groups)),
                    place.bucket,
                )
                by_window.setdefault(int(made.windows[at]), []).append(prediction)
        return by_window

    def take(self, start: int) -> tuple[dict[int, LabelOutcomes], int]:
        """Return outcomes by window start and the count of unmatched labels since the last call;
        where there are such labels alone with the empty outcomes of the window ``start``.
        """
        taken, unmatched = dict(self.outcomes), self.unmatched
        self.outcomes.clear()
        self.unmatched = 0
        return taken or ({start: LabelOutcomes()} if unmatched else {}), unmatched
