"""The answers of one release, corrected for units; and what their labels teach.

Invariants:

* What is not finite, what the cloud or a default answered, and what a guard has taken back is the
  release's own answer, at once.
* A label teaches what its prediction was made for: φ and the release's own answer are kept with it
  (:mod:`.pending`), not what came since.
* The fast path, the general path and batches correct by the same :class:`Correction`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.prediction import BatchPrediction, Origin, Prediction
from edge_sdk.personalise.basis_reader import BasisReader
from edge_sdk.personalise.correction import NumberCorrection, is_moderate
from edge_sdk.personalise.pending import Pending, Waiting, WaitingBatch

if TYPE_CHECKING:
    from edge_sdk.model.release import Release
    from edge_sdk.personalise.outcome import LabelOutcome
    from edge_sdk.personalise.personal_kind import PersonalKind
    from edge_sdk.personalise.unit_state import UnitState
    from edge_sdk.personalise.units.unit_space import HeldUnit, UnitSpace
    from edge_sdk.personalise.units.unit_store import UnitStore


@functools.lru_cache(64)
def personal_origin(origin: Origin) -> Origin:
    """Return the origin of answers that were corrected for a unit."""
    return replace(origin, personalised=True)


class Answer(NamedTuple):
    """An answer for a unit: the release's own (``base``), φ, and what was served in its place."""

    unit: HeldUnit
    base: Prediction
    phi: NDArray[np.float32] | None
    served: Prediction | None


class Personaliser:
    """Corrections of one predictor.

    Attributes:
        hot: units in memory by name, for the fast path.
        pending: predictions that wait for labels.
        reader: reads φ.
        origin: returns the origin of answers of another one that were corrected.

    Args:
        release: that answers.
        store: of the model's units.
        units: of the prior's basis.
        kind: of the units.
        clock: Unix seconds.
    """

    origin = staticmethod(personal_origin)

    def __init__(
        self,
        release: Release,
        store: UnitStore,
        units: UnitSpace[UnitState],
        kind: PersonalKind,
        clock: Callable[[], float],
    ) -> None:
        prior = kind.model.prior
        self._store, self._units, self._clock = store, units, clock
        self.hot, self.find, self.answer_of = units.hot, units.find, units.answer_of
        self._classes = prior.labels
        self._index = {label: i for i, label in enumerate(prior.labels)}
        size = kind.model.basis_size
        self.reader = BasisReader(prior.basis, release.manifest, size)
        self.pending = Pending(size, len(prior.labels))

    def answer(
        self, unit: HeldUnit, base: Prediction, row: Any, outputs: Mapping[str, NDArray[Any]]
    ) -> Answer:
        """Return the unit's own answer where it serves, and what a label will teach.

        Args:
            unit: for whom it is.
            base: the release's answer, or the cloud's, which nobody corrects.
            row: the input as monitoring keeps it.
            outputs: of the model; none if it was not asked.
        """
        if base.source not in ("model", "pack"):
            return Answer(unit, base, None, None)
        dense = row if isinstance(row, bytes) else None
        phi = self.reader.of(dense, outputs, base._scores)
        return self.answer_by(unit, base, phi)

    def answer_by(
        self, unit: HeldUnit, base: Prediction, phi: NDArray[np.float32] | None
    ) -> Answer:
        """Return the same with φ [d] known; ``None`` where a part of it is missing."""
        return Answer(unit, base, phi, self.corrected(unit, base, phi))

    def corrected(
        self, unit: HeldUnit, base: Prediction, phi: NDArray[np.float32] | None
    ) -> Prediction | None:
        """Return the unit's own answer; ``None`` where the release's serves.

        Args:
            unit: for whom it is.
            base: the release's answer, of its model or its pack.
            phi: φ [d]; ``None`` where a part of it is missing.
        """
        correction = self.answer_of(unit)
        if correction is None or phi is None:
            return None
        origin = personal_origin(base._origin)
        if isinstance(correction, NumberCorrection):
            value = correction.apply(base.value) if isinstance(base.value, float) else math.nan
            if not math.isfinite(value):
                return None
            return Prediction.of(origin, 0, None, None, None, value)
        moderate = is_moderate(phi.tobytes())
        found = correction.odds(plain_scores(base), phi) if moderate else None
        if found is None:
            return None
        odds, total, best = found
        return Prediction.of(origin, 0, self._classes[best], odds[best] / total, odds)

    def remember(self, answer: Answer) -> None:
        """Keep a numbered answer for the label that may come."""
        unit, base, phi, served = answer
        if phi is not None:
            own = base.value if base.label is None else plain_scores(base)
            self.pending.put(int(base._number), Waiting(unit, phi, own, served is not None))

    def remember_batch(self, batch: BatchPrediction, waiting: WaitingBatch) -> None:
        """Keep a numbered batch for labels, once the application asks for ids of its rows."""
        before = batch._remembered

        def remember(asked: BatchPrediction) -> None:
            self.pending.put_batch(int(asked._number), waiting)
            if before is not None:
                before(asked)

        batch._remembered = remember

    def batch(
        self,
        unit: HeldUnit,
        base: BatchPrediction,
        rows: NDArray[Any] | None,
        outputs: Mapping[str, NDArray[Any]],
    ) -> tuple[BatchPrediction, WaitingBatch | None]:
        """Return the answers to N inputs, corrected for a unit, and what their labels may teach.

        Args:
            unit: for whom they are.
            base: the release's answers.
            rows: inputs [N, columns] of a table of one dtype; ``None`` for other inputs.
            outputs: of the model, of the rows that it was asked.
        """
        numbers = base.values if base.probabilities is None else base.probabilities
        known = base.from_pack
        asked = None if known is None else ~known
        phi = self.reader.of_batch(rows, outputs, base.probabilities, asked, len(base))
        if phi is None or numbers is None:
            return base, None
        with np.errstate(invalid="ignore"):
            answers, finite = self._corrected_rows(unit, numbers, phi)
        served = base
        if finite.any():
            served = base.corrected(np.where(_column(finite, answers), answers, numbers), finite)
        return served, WaitingBatch(unit, phi, numbers, finite)

    def _corrected_rows(
        self, unit: HeldUnit, numbers: NDArray[Any], phi: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        correction = self.answer_of(unit)
        if correction is None or (len(self._classes) == 0) != (numbers.ndim == 1):
            return numbers, np.zeros(len(numbers), bool)
        if isinstance(correction, NumberCorrection):
            values = numbers.astype(np.float64) * correction.slope + correction.offset
            return values, np.isfinite(values)
        answers: tuple[NDArray[Any], NDArray[np.bool_]] = correction.apply_batch(
            numbers.astype(np.float64), phi
        )
        return answers

    def feedback(self, number: str, label: Any) -> None:
        """Learn the label of a prediction, which monitoring has checked.

        Args:
            number: second part of the prediction's id.
            label: one of the classes, or the true number.
        """
        waiting = self.pending.take(number)
        if waiting is None or not is_moderate(waiting.phi.tobytes()):
            return
        kind, now = self._units.kind, self._clock()
        if TYPE_CHECKING:
            assert isinstance(kind, PersonalKind)
        if self._classes:
            index = self._index.get(label)
            if index is None or not all(map(math.isfinite, waiting.base)):
                return
            target: float = index
        else:
            target = float(label)
            if not isinstance(waiting.base, float) or not math.isfinite(waiting.base):
                return

        switched = False

        def learn(state: UnitState) -> LabelOutcome:
            # Both looks at the guard within the lock: no other label comes in between.
            nonlocal switched
            before = kind.device_serves
            outcome = kind.learn(state, waiting, target, now)
            switched = kind.device_serves != before
            return outcome

        self._units.change(waiting.unit, now, learn)
        if switched:
            self._units.refresh()

    def status(self) -> dict[str, int]:
        """Return the newest predictions for units that wait for a label, and those of them that
        were served corrected.
        """
        waiting, served = self.pending.counts()
        return {"waiting": waiting, "waiting_personalised": served}

    def forget(self, key: bytes) -> bool:
        """Drop the predictions that wait for a unit's labels; return whether there were any."""
        return self.pending.forget(key)

    def close(self) -> None:
        """End; nothing is asked of it any more."""
        self._store.leave(self._units)


def plain_scores(base: Prediction) -> Any:
    """Return the probabilities of an answer as Python's floats, and others as they are."""
    scores = base._scores
    return scores.tolist() if isinstance(scores, np.ndarray) else scores


def _column(rows: NDArray[np.bool_], like: NDArray[Any]) -> NDArray[np.bool_]:
    return rows if like.ndim == 1 else rows[:, None]
