"""Rankings that adapt to a unit, of a release that serves: from its scores and the items' features.

Imported only where a plan personalises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.personalise.rankings.adaptive_rankings import (
    AdaptiveRankings,
    ItemRows,
    RankingUnits,
)
from edge_sdk.personalise.rankings.features import ColumnFeatures, basis_of, given_features
from edge_sdk.personalise.rankings.session_model import (
    PROBABILITY,
    STANDARDISED,
    Floats,
    SessionModel,
)
from edge_sdk.serving.ranking import Item, Ranking, ScoredItems, ScoreMeaning, scored

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.serving_terms import Personalisation
    from edge_sdk.personalise.units.unit_store import UnitStore
    from edge_sdk.serving.predictor import Predictor

SPACE: Final = "rankings"
"""Of the store of units: what was learned of lists depends on no release, and on no prior."""

LEAST_CHANCE: Final = 1e-9
"""Probabilities of classes are cut there before their logarithm is taken."""


class AdaptedRankings:
    """The adapted rankings of one model on a device.

    Args:
        terms: of the plan.
        store: of units.
        clock: Unix seconds.
        seed: of all chance; random if not given.
    """

    def __init__(
        self,
        terms: Personalisation,
        store: UnitStore,
        clock: Callable[[], float],
        seed: int | None = None,
    ) -> None:
        model = SessionModel()
        units = store.space(SPACE, RankingUnits(model, clock))
        self._rankings = AdaptiveRankings(terms, units, model=model, seed=seed, clock=clock)
        self._columns: WeakKeyDictionary[Predictor, ColumnFeatures | None] = WeakKeyDictionary()

    def use(self, terms: Personalisation) -> None:
        """Go on under other terms."""
        self._rankings.terms = terms

    def ranking(
        self,
        serving: Predictor,
        x: Any,
        candidates: Sequence[Item] | None,
        length: int | None,
        unit: str,
        features: Any,
    ) -> Ranking:
        """Return a ranking for a unit; the release's own where its items have no features.

        Args:
            serving: release that scores.
            x: as for :func:`edge_sdk.serving.ranking.scored`.
            candidates: items to rank.
            length: number of items at most; ``None`` for all.
            unit: for whom it is, a checked text.
            features: of the items, [n, d], in the order of ``candidates``, or of the model's items;
                ``None`` to take the rows ``x``.

        Raises:
            InputError: the input or the features do not fit, or the model has no scores.
            ReleaseError: the model failed.
        """
        items = scored(serving, x, candidates)
        rows = self._rows(serving, items, x, candidates is not None, features)
        size = len(items.items) if length is None else min(length, len(items.items))
        if rows is None:
            return Ranking(items.items[:size], items.id, items.version)
        # What has no score (NaN) stays behind all that has one.
        adapted = self._rankings.rank(items.id, unit, rows, min(size, len(rows.scores)))
        rest = items.items[len(rows.scores) : size]
        chosen = tuple(items.items[i] for i in adapted.order)
        propensities = (*adapted.propensities.tolist(), *([1.0] * len(rest)))
        return Ranking(chosen + rest, items.id, items.version, adapted.personalised, propensities)

    def _rows(
        self, serving: Predictor, items: ScoredItems, x: Any, by_row: bool, features: Any
    ) -> ItemRows | None:
        """Scores and features of the items, best first; ``None`` where they say too little."""
        if features is not None:
            try:
                table = given_features(features, len(items.items))
            except InputError as error:
                serving.monitor.record_error(error.kind)
                raise
            basis = basis_of(items.meaning.name, ["given", str(np.shape(features)[1])])
        else:
            columns = self._columns_of(serving) if by_row else None
            if columns is None:
                return None
            table = columns.of(serving.columns(x))
            basis = basis_of(items.meaning.name, columns.names)
        scores = _expected(items)
        if scores is None:
            return None
        prior = PROBABILITY if items.meaning is ScoreMeaning.CLICK else STANDARDISED
        best_first = table[items.rows[: len(scores)]]
        return ItemRows(scores, best_first, prior, basis, serving.tag, serving.window)

    def _columns_of(self, serving: Predictor) -> ColumnFeatures | None:
        if serving not in self._columns:
            named = bool(serving.release.manifest.signature.columns)
            profile = serving.release.profile() if named else None
            self._columns[serving] = None if profile is None else ColumnFeatures(profile.features)
        return self._columns[serving]

    def outcome(
        self, name: str, items: Sequence[Item], clicks: Sequence[Item] | None, reward: float | None
    ) -> None:
        """Learn of the outcome of a ranking.

        Args:
            name: its id.
            items: that were shown.
            clicks: those that were clicked on; ``None`` where that is not known.
            reward: of the whole list, finite.
        """
        places = None
        if clicks is not None:
            clicked = set(clicks)
            places = [place for place, item in enumerate(items) if item in clicked]
        self._rankings.outcome(name, places, reward)

    def forget(self, unit: str) -> bool:
        """Remove the lists of a unit that wait for clicks; what was learned is in the store."""
        return self._rankings.forget(unit)

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        """Return the reports of windows that ended (with ``final``, of all)."""
        return [*self._rankings.collect(now, final=final)]

    def status(self) -> dict[str, Any]:
        """Return how lists adapt, and why they do not any more, as plain values."""
        return self._rankings.status()


def _expected(items: ScoredItems) -> Floats | None:
    """Scores of the items that have one on a scale of which a unit's model knows the meaning, [m].

    ``None`` where fewer than two have one, or one is infinite.
    """
    scores = items.scores[: np.count_nonzero(~np.isnan(items.scores))]
    if len(scores) < 2 or not np.isfinite(scores).all():
        return None
    if items.meaning is ScoreMeaning.CLICK:
        return scores
    if items.meaning is ScoreMeaning.CLASS:
        scores = np.log(np.maximum(scores, LEAST_CHANCE))
    scores = scores / (np.abs(scores).max() or 1.0)  # or squares overflow
    spread = float(scores.std())
    standardised: Floats = (scores - scores.mean()) / (spread if spread > 0 else 1.0)
    return standardised
