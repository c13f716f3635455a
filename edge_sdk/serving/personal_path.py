"""Last step of the fast path where answers are corrected for units (:mod:`.conclude` is the other).

Its second argument is the unit and the codes of the row's groups. What is recorded is the release's
own answer, and beside it what was served.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, nan
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.outputs import Answers, classifier
from edge_sdk.model.prediction import NO_OUTPUTS, Prediction
from edge_sdk.personalise.correction import LARGE, TOPS

if TYPE_CHECKING:
    from edge_sdk.model.session import BoundRow
    from edge_sdk.personalise.personaliser import Personaliser
    from edge_sdk.personalise.units.unit_space import HeldUnit
    from edge_sdk.serving.conclude import Conclude
    from edge_sdk.serving.fast_path import Fetch, Settle
    from edge_sdk.telemetry.monitor import Monitor

Carried = tuple["HeldUnit", bytes | None]
Phi = Callable[[Any], NDArray[np.float32]]


class PersonalSteps:
    """The steps from a model's or a pack's values to the answer for a unit.

    Attributes:
        behind: output whose buffer is to lie behind the row's, so that φ has not to be copied.
        large: by the upper byte of a float, 1 where it is none that may be corrected; rows with
            such floats go the general way.

    Args:
        personal: corrects.
        answers: reads outputs.
        monitor: records each prediction.
        settle: asks the cloud where the answer is not confident; ``None`` if nobody is asked.
    """

    large = LARGE

    def __init__(
        self, personal: Personaliser, answers: Answers, monitor: Monitor, settle: Settle | None
    ) -> None:
        self._personal, self._answers = personal, answers
        self._monitor, self._settle = monitor, settle
        self.behind = personal.reader.behind

    def by_model(self, fetch: Fetch, bound: BoundRow) -> tuple[Fetch, Conclude]:
        """Return the steps for the model's bound outputs, which ``fetch`` copies."""
        answers, origin = self._answers, self._answers.model
        place = np.frombuffer(bound.place, np.float32)
        joined, phi = bound.joined, self._personal.reader.bound(place, bound.outputs)
        if joined is not None:
            phi = lambda scores: joined  # noqa: E731
        if answers.classes and self._settle is None:
            return fetch, self._classified(phi, place, kept=self._personal.reader.keeps_row)
        if answers.classes:
            return fetch, self._settled(classifier(origin, answers.classes), phi)
        if self._settle is None:
            return fetch, self._measured()
        number = lambda values: Prediction.of(origin, 0, None, None, None, values[0])  # noqa: E731
        return fetch, self._settled(number, phi)

    def stored(self) -> Conclude:
        """Return the step for a pack's values."""
        personal, make, record = self._personal, self._answers.from_pack, self._monitor.record

        def conclude(values: Any, row: bytes, started: int, carried: Carried) -> Prediction:
            unit, groups = carried
            base = make(values)
            answer = personal.answer(unit, base, row, {})
            took = perf_counter_ns() - started
            record(row, base, None, took, groups, None, answer.served)
            personal.remember(answer)
            return base if answer.served is None else answer.served

        return conclude

    def _settled(self, make: Callable[[Any], Prediction], phi_of: Phi) -> Conclude:
        """Return the step for values that ``make`` makes a prediction of."""
        personal, settle, record = self._personal, self._settle, self._monitor.record

        def conclude(values: Any, row: bytes, started: int, carried: Carried) -> Prediction:
            unit, groups = carried
            base = make(values)
            own = base.label
            if settle is not None:
                base = settle(row, base)
            phi = phi_of(base._scores) if base.source == "model" else None
            answer = personal.answer_by(unit, base, phi)
            took = perf_counter_ns() - started
            record(row, base, own, took, groups, None, answer.served)
            personal.remember(answer)
            return base if answer.served is None else answer.served

        return conclude

    def _classified(self, phi_of: Phi, place: NDArray[np.float32], *, kept: bool) -> Conclude:
        """Return the step for probabilities of a classifier that asks no cloud; the common one, all
        in one function for speed.

        Args:
            phi_of: gives φ.
            place: input buffer.
            kept: φ is the row itself, so that nothing has to be copied for a label.
        """
        origin, classes = self._answers.model, self._answers.classes
        number_of, clock, put, key = self._monitor.recording
        source, degraded = origin.source, origin.degraded
        own_origin, slots = self._personal.origin(origin), self._personal.pending.slots
        room, tops, large, answer_of = len(slots), TOPS, LARGE, self._personal.answer_of

        def conclude(
            scores: tuple[float, ...], row: bytes, started: int, carried: Carried
        ) -> Prediction:
            unit, groups = carried
            largest = max(scores)
            label = classes[scores.index(largest)]
            prediction = Prediction()
            prediction._number = number = number_of()
            prediction.value = None
            prediction.outputs = NO_OUTPUTS
            phi = place if kept else phi_of(scores)
            raw = row if kept else phi.tobytes()
            correction, found = unit.answer or answer_of(unit), None  # packed since it was found?
            if correction is not None and (kept or 1 not in raw[tops].translate(large)):
                found = correction.odds(scores, phi)
            if found is None:
                prediction.confidence = confidence = largest if isfinite(sum(scores)) else nan
                prediction._origin = origin
                prediction._scores = scores
                prediction.label, served = label, None
            else:  # finite, and so is what it was made of
                confidence = largest
                odds, total, best = found
                prediction._origin = own_origin
                prediction._scores = odds
                prediction.label = served = classes[best]
                prediction.confidence = odds[best] / total
            at = number % room
            slots[at] = (number, unit, raw, scores, served is not None)
            if unit.gone:  # forgotten while it was answered
                slots[at] = None
            if put is not None:
                put((
                    number, clock(), row, label, label, None, confidence,
                    source, degraded, perf_counter_ns() - started, groups,
                    None if key is None else key.bucket, None, served,
                ))  # fmt: skip
            return prediction

        return conclude

    def _measured(self) -> Conclude:
        """Return the step for the number of a regressor that asks no cloud."""
        origin = self._answers.model
        number_of, clock, put, key = self._monitor.recording
        source, degraded = origin.source, origin.degraded
        own_origin, slots = self._personal.origin(origin), self._personal.pending.slots
        room, answer_of = len(slots), self._personal.answer_of

        def conclude(
            values: tuple[float, ...], row: bytes, started: int, carried: Carried
        ) -> Prediction:
            unit, groups = carried
            own = value = values[0]
            correction, served = unit.answer or answer_of(unit), None  # packed since it was found?
            if correction is not None:
                slope, offset = correction
                corrected = slope * own + offset
                if isfinite(corrected):
                    value = served = corrected
            prediction = Prediction()
            prediction._origin = origin if served is None else own_origin
            prediction._number = number = number_of()
            prediction._scores = prediction.label = prediction.confidence = None
            prediction.value = value
            prediction.outputs = NO_OUTPUTS
            at = number % room
            slots[at] = (number, unit, b"", own, served is not None)
            if unit.gone:  # forgotten while it was answered
                slots[at] = None
            if put is not None:
                put((
                    number, clock(), row, None, None if served is None else own, own, None,
                    source, degraded, perf_counter_ns() - started, groups,
                    None if key is None else key.bucket, None, served,
                ))  # fmt: skip
            return prediction

        return conclude
