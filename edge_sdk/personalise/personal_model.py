"""One prior's units: their states, what they learn, and the corrections that may serve.

Pure: no I/O, no clock, no lock. One call at a time for one model; a state belongs to the prior's
basis, and :meth:`PersonalModel.load` refuses another one's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import Basis, PersonalPrior
from edge_sdk.errors import InputError
from edge_sdk.personalise.class_model import ClassModel
from edge_sdk.personalise.correction import Correction, NumberCorrection
from edge_sdk.personalise.guard import Guard
from edge_sdk.personalise.number_model import NumberModel
from edge_sdk.personalise.outcome import Outcome
from edge_sdk.personalise.tally import Tally
from edge_sdk.personalise.unit_moments import UnitSummary
from edge_sdk.personalise.unit_state import MEMORIES, UnitState, pack, state_bytes, unpack

Vector = NDArray[np.float32]


class PersonalModel:
    """What a prior makes of a unit's labels.

    Attributes:
        prior: of which it is.
        state_bytes: the most that a packed unit takes.
    """

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        """Prepare the arrays of a prior.

        Args:
            prior: of the release that serves.
            attributes: of the device; one of them may name the units' cohort.
        """
        self.prior = prior
        self._basis = bytes.fromhex(prior.basis_digest)[:8]
        self._classes = None if prior.classes is None else ClassModel(prior, attributes)
        self._number = None if prior.number is None else NumberModel(prior, attributes)
        self._count = 1 if self._classes is None else self._classes.space.classes
        self._width = NumberModel.width if self._classes is None else self._classes.width
        self.state_bytes = state_bytes(self._count, self._width)

    @property
    def basis_kind(self) -> Basis:
        """Which vector of a prediction φ is."""
        return self.prior.basis

    @property
    def basis_size(self) -> int:
        """Length d of φ; 0 for a regressor, which needs none."""
        return 0 if self._classes is None else self._classes.space.projection.shape[1]

    def new(self) -> UnitState:
        """Return the state of a unit without history."""
        sums = np.zeros((MEMORIES, self._count, self._width), np.float32)
        settings = self.prior.settings
        return UnitState(sums, settings.start, Guard(self.prior.helps), settings.noise)

    def new_guard(self) -> Guard:
        """Return the guard of a device's units together, which serves until they are worse."""
        return Guard(serving=True)

    def dump(self, state: UnitState) -> bytes:
        """Pack a unit's state into at most :attr:`state_bytes`."""
        return pack(state, self._basis)

    def load(self, raw: bytes) -> UnitState:
        """Return the state of :meth:`dump`.

        Raises:
            ContractError: it is damaged, or of another basis.
        """
        return unpack(raw, self._basis, self._count, self._width)

    def correction(
        self, state: UnitState, device_guard: Guard | None = None
    ) -> Correction | NumberCorrection | None:
        """Return what a unit's model does to the release's answers.

        Args:
            state: of the unit.
            device_guard: of all units of the device together.

        Returns:
            ``None`` where the release's own answer serves: the unit has no label yet, or a guard
            has taken its answers back.
        """
        if not state.labels or not state.guard.serving:
            return None
        if device_guard is not None and not device_guard.serving:
            return None
        if self._classes is not None:
            return self._classes.correction(state)
        assert self._number is not None
        return self._number.correction(state)

    def learn(
        self,
        state: UnitState,
        phi: Vector,
        scores: Sequence[float],
        label: int,
        now: float,
        *,
        served: bool = False,
    ) -> Outcome:
        """Learn a label of a classifier's unit, in place.

        Args:
            state: of the unit; changed.
            phi: basis vector [d] of the row.
            scores: the release's own probabilities [C] of the row.
            label: number of the class.
            now: Unix seconds.
            served: whether the prediction was served personalised.

        Raises:
            InputError: φ is not finite, or there is no such class.
        """
        model = self._classes
        if model is None:
            raise InputError("label", "expected a number, since the model is a regressor")
        if not 0 <= label < self._count:
            raise InputError("label", f"expected class 0 to {self._count - 1}, got {label}")
        outcome = model.learn(state, phi, scores, label, now)
        self._count_in(state, outcome, served=served)
        return outcome

    def learn_number(
        self, state: UnitState, value: float, truth: float, now: float, *, served: bool = False
    ) -> Outcome:
        """Learn a true value of a regressor's unit, in place.

        Args:
            state: of the unit; changed.
            value: the release's own answer.
            truth: what it should have been.
            now: Unix seconds.
            served: whether the prediction was served personalised.

        Raises:
            InputError: one of the numbers is not finite.
        """
        if self._number is None:
            raise InputError("label", "expected a class, since the model is a classifier")
        if not (math.isfinite(value) and math.isfinite(truth)):
            raise InputError(
                "not_finite", f"expected finite numbers, got answer {value} and truth {truth}"
            )
        outcome = self._number.learn(state, value, truth, now)
        self._count_in(state, outcome, served=served)
        return outcome

    def judge(self, state: UnitState, phi: Vector, scores: Sequence[float], label: int) -> Outcome:
        """Return what :meth:`learn` would, without learning."""
        if self._classes is None:
            raise InputError("label", "expected a number, since the model is a regressor")
        return self._classes.judge(state, phi, scores, label)

    def judge_number(self, state: UnitState, value: float, truth: float) -> Outcome:
        """Return what :meth:`learn_number` would, without learning."""
        if self._number is None:
            raise InputError("label", "expected a class, since the model is a classifier")
        return self._number.judge(state, value, truth)

    def guard_device(self, guard: Guard, state: UnitState, outcome: Outcome) -> None:
        """Take one outcome into the guard of all units of the device together.

        A unit whose own guard has taken its answers back is not heard: one unit that is fed with
        lies thus stays far below the level at which all units of the device would fall back.

        Args:
            guard: of the device; changed.
            state: of the unit, after it learnt.
            outcome: of the label.
        """
        if state.guard.serving:
            settings = self.prior.settings
            guard.add(outcome.comparison, settings.worse, settings.worse * settings.worse)

    def summary(self, state: UnitState) -> UnitSummary:
        """Return what a unit says for the hub's sums, of the labels of this generation alone."""
        tally = state.tally if state.tally.generation == self.prior.generation else Tally()
        model = self._classes or self._number
        assert model is not None
        moments = model.moments(state)
        return UnitSummary(
            tally.both, tally.model_only, tally.personal_only, tally.neither, tally.served,
            not state.guard.serving, tally.model_loss, tally.personal_loss, *moments,
        )  # fmt: skip

    def _count_in(self, state: UnitState, outcome: Outcome, *, served: bool) -> None:
        settings = self.prior.settings
        state.labels += 1
        state.tally.add(outcome, self.prior.generation, served=served)
        # A unit for which the prior vouched may come back by less than one that must show it alone.
        back = settings.worse if self.prior.helps else settings.better
        state.guard.add(outcome.comparison, back, settings.worse)
