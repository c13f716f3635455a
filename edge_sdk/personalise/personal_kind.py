"""Units of a personal prior, as a store of units takes them, and the guard of all of a device."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from edge_sdk.personalise.guard import ServingGuard

if TYPE_CHECKING:
    from edge_sdk.personalise.correction import Correction, NumberCorrection
    from edge_sdk.personalise.outcome import LabelOutcome
    from edge_sdk.personalise.pending import Waiting
    from edge_sdk.personalise.personal_model import PersonalModel
    from edge_sdk.personalise.unit_state import UnitState


class PersonalKind:
    """What a prior makes of units.

    Attributes:
        model: of the prior.
        guard: of all units of the device together.
        taken_back: times that a unit's guard has taken its own answers back.
        given: times that it has let them serve (again).

    Args:
        model: of the prior.
        guard: of all units of the device together, which outlives it.
        serves: False to learn only: nobody is served a correction.
    """

    def __init__(self, model: PersonalModel, guard: ServingGuard, *, serves: bool) -> None:
        self.model, self.guard, self._serves = model, guard, serves
        self.state_bytes = model.state_bytes
        self.new, self.dump, self.load = model.new, model.dump, model.load
        self.taken_back = self.given = 0

    @property
    def device_serves(self) -> bool:
        """Return whether the guard of the device lets corrections serve at all."""
        return self.guard.serving

    def derived(self, state: UnitState | None) -> Correction | NumberCorrection | None:
        """Return the correction that serves a unit; ``None`` for the release's own answer."""
        if state is None or not self._serves:
            return None
        return self.model.correction(state, self.guard)

    def learn(self, state: UnitState, waiting: Waiting, target: float, now: float) -> LabelOutcome:
        """Learn a label, in place.

        Args:
            state: of the unit.
            waiting: the prediction, with finite numbers.
            target: number of the class, or the true number.
            now: Unix seconds.
        """
        before, model = state.guard.serving, self.model
        if model.prior.classes is None:
            outcome = model.learn_number(
                state, waiting.base, target, now, served=waiting.personalised
            )
        else:
            outcome = model.learn(
                state, waiting.phi, waiting.base, int(target), now, served=waiting.personalised
            )
        model.guard_device(self.guard, state, outcome)
        if before != state.guard.serving:
            self.taken_back += before
            self.given += not before
        return outcome


def guard_to_bytes(guard: ServingGuard, generation: int) -> bytes:
    """Return the state of a guard, for one generation of a prior."""
    state = [generation, guard.serving, list(guard.better), list(guard.worse), guard.pairs]
    return json.dumps(state).encode()


def guard_from_bytes(raw: bytes | None, generation: int, new: ServingGuard) -> ServingGuard:
    """Return the guard; ``new`` where there is none of this generation, or it is damaged."""
    try:
        of, serving, better, worse, pairs = json.loads(raw or b"")
        wealth = [float(x) for x in (*better, *worse)]
        first, second, third, fourth = wealth
        # Written so that a NaN fails it: with one a guard would never fall again.
        bounded = all(0 <= each < math.inf for each in wealth)
        if of == generation and isinstance(serving, bool) and bounded and int(pairs) >= 0:
            return ServingGuard(serving, (first, second), (third, fourth), int(pairs))
    except (ValueError, TypeError, OverflowError):
        pass
    return new


def plain_status(kind: Any) -> dict[str, Any]:
    """Return what a prior's units come to, as plain values."""
    prior = kind.model.prior
    return {
        "version": prior.version,
        "generation": prior.generation,
        "basis": prior.basis,
        "helps": prior.helps,
        "device_guard": kind.device_serves,
        "taken_back": kind.taken_back,
        "given": kind.given,
    }
