"""Rankings: the items that a model scores, best first.

A model ranks in one of two ways:

* It scores one candidate at a time (learning to rank: a row of features per candidate). The score
  is the number of a regressor, or the probability of the second class (such as *clicked*) of a
  classifier with two.
* It scores all items at once: the classes of a classifier are the items and their probabilities the
  scores; or its one output is a vector, and the items are the positions in it.

Equal scores keep the order of the candidates; NaN comes last.
"""

from __future__ import annotations

import reprlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.serving.predictor import Predictor

T = TypeVar("T")
Item = Hashable
SHOWN: Final = 16_384
"""Rankings that may still be clicked on; older ones are forgotten."""


@dataclass(frozen=True)
class Ranking:
    """Result of ``predict_ranking``.

    Attributes:
        items: ranked items, best first.
        id: id for ``feedback``.
        version: version of the release that serves (while an experiment mixes two, the control's).
        personalised: the order is that of what the unit has shown to like.
        propensities: of each item the chance with which it was put at its place: exactly that,
            given all that was drawn before the list was chosen; ``None`` for a list that does not
            adapt.
    """

    items: tuple[Any, ...]
    id: str
    version: str
    personalised: bool = False
    propensities: tuple[float, ...] | None = None

    def __repr__(self) -> str:
        return f"<Ranking {reprlib.repr(self.items)} from {self.version} id={self.id}>"


class ScoreMeaning(Enum):
    """What a score is."""

    CLICK = "the probability of the second of two classes"
    CLASS = "the probability of one class of several"
    NUMBER = "a number"


@dataclass(frozen=True)
class ScoredItems:
    """All items, best first as the release ranks.

    ``scores`` [n] are theirs; ``rows`` [n] are the places that they had among the candidates, or
    among the model's items.
    """

    items: tuple[Item, ...]
    scores: NDArray[np.float64]
    rows: NDArray[np.intp]
    meaning: ScoreMeaning
    id: str
    version: str


def ranked(serving: Predictor, x: Any, candidates: Sequence[Item] | None) -> Ranking:
    """Rank all items with ``serving``; see :func:`scored`."""
    items = scored(serving, x, candidates)
    return Ranking(items.items, items.id, items.version)


def scored(serving: Predictor, x: Any, candidates: Sequence[Item] | None) -> ScoredItems:
    """Score all items with ``serving``, and rank them.

    Args:
        serving: release that ranks in one of the two ways.
        x: with ``candidates`` one row each, [candidates, features]; without, one input.
        candidates: items to rank, all different.

    Raises:
        InputError: the input does not fit, or the model has no scores.
        ReleaseError: the model failed.
    """
    if candidates is None:
        prediction = serving.predict(x)
        items, scores = _counted(serving, _all_scored, prediction, serving)
        classes = prediction.probabilities is not None
        meaning = ScoreMeaning.CLASS if classes else ScoreMeaning.NUMBER
        return _in_order(items, scores, meaning, prediction.id, prediction.version)
    batch = serving.predict_batch(x)
    scores = _counted(serving, _one_scored, batch, len(candidates))
    meaning = ScoreMeaning.NUMBER if batch.probabilities is None else ScoreMeaning.CLICK
    # One id names the whole ranking: that of its first row.
    return _in_order(candidates, scores, meaning, batch.ids[0], batch.version)


def _in_order(
    items: Sequence[Item], scores: NDArray[Any], meaning: ScoreMeaning, name: str, version: str
) -> ScoredItems:
    plain = scores.astype(np.float64)
    order = np.argsort(-plain, kind="stable")  # NaN sorts last
    best_first = tuple(items[i] for i in order)
    return ScoredItems(best_first, plain[order], order, meaning, name, version)


def _counted(serving: Predictor, call: Callable[..., T], *arguments: Any) -> T:
    """Return the result of ``call``; count a refusal."""
    try:
        return call(*arguments)
    except InputError as error:
        serving.monitor.record_error(error.kind)
        raise


def _one_scored(batch: BatchPrediction, count: int) -> NDArray[Any]:
    if len(batch) != count:
        raise InputError(
            "candidates", f"expected a row for each of {count} candidates, got {len(batch)}"
        )
    values, probabilities = batch.values, batch.probabilities
    if values is not None and values.size == len(batch):
        return values.reshape(-1)
    if probabilities is not None and probabilities.shape[1] == 2:
        scores: NDArray[Any] = probabilities[:, 1]
        return scores
    raise InputError(
        "ranking",
        "expected a model with one number or two classes, to score candidates; leave candidates "
        "out for a model that scores all items at once",
    )


def _all_scored(p: Prediction, serving: Predictor) -> tuple[tuple[Item, ...], NDArray[Any]]:
    if p.probabilities is not None:
        return serving.release.manifest.signature.classes, p.probabilities
    vectors = [p.value, *p.outputs.values()]
    scores = [v.reshape(-1) for v in vectors if isinstance(v, np.ndarray) and v.dtype.kind in "fiu"]
    if len(scores) != 1 or scores[0].size < 2:
        raise InputError(
            "ranking",
            "expected a model that scores all items at once; pass candidates and a row for each",
        )
    return tuple(range(scores[0].size)), scores[0]


@dataclass
class Shown:
    """Ranking that was shown and may be clicked on.

    Attributes:
        items: items in the order in which they were shown.
        teams: arm that picked each item, in an interleaving.
        window: start of the report window in which it was shown, Unix seconds.
        clicked: True after the clicks were reported.
    """

    items: tuple[Item, ...]
    teams: tuple[str, ...] = ()
    window: int = 0
    clicked: bool = False


class ShownRankings:
    """The last :data:`SHOWN` rankings, by id."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, Shown] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._shown

    def put(self, name: str, shown: Shown) -> None:
        """Store one; the oldest one goes."""
        self._shown[name] = shown
        if len(self._shown) > SHOWN:
            self._shown.popitem(last=False)

    def click(self, name: str, clicks: Sequence[Item], serving: Predictor | None = None) -> Shown:
        """Record the clicks on a ranking, once, and return the ranking.

        Args:
            name: of the ranking: the id of its prediction.
            clicks: items that were clicked on.
            serving: that made the prediction: a precomputed list is known to its monitor alone.

        Raises:
            InputError: it is unknown or forgotten, was clicked on before, or did not show an item.
        """
        shown = self._shown.get(name)
        if shown is None and serving is not None:
            serving.monitor.fold()  # what was answered a moment ago
            items = serving.monitor.by_entity.items(name.rpartition("-")[2])
            if items is not None:
                shown = Shown(items)
                self.put(name, shown)
        if shown is None:
            raise InputError(
                "unknown_prediction", f"expected the id of a recent ranking, got {name!r:.60}"
            )
        not_shown = [item for item in clicks if item not in shown.items]
        if not_shown:
            raise InputError("not_shown", f"ranking {name}: did not show {not_shown[0]!r:.60}")
        if shown.clicked:
            raise InputError(
                "repeated", f"ranking {name}: has its clicks already; report them once"
            )
        shown.clicked = True
        return shown
