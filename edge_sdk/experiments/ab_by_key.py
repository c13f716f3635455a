"""A/B by key: which of several releases answers depends on the key that the application gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.key_buckets import mark_of
from edge_sdk.contract.names import CONTROL
from edge_sdk.experiments.base import RunningExperiment, check_same_inputs, failing
from edge_sdk.telemetry.key_counts import CallingKey

if TYPE_CHECKING:
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.plan import Experiment
    from edge_sdk.serving.predictor import Predictor

UNITS: Final = 65_536
"""Keys that a process remembers to have seen; later new ones are not counted, in no arm."""


class Arms(RunningExperiment):
    """Every arm of an A/B by key, what serves among them as control.

    Args:
        experiment: of the plan.
        attributes: of the device.
        candidates: by arm, control included; each has a monitor of its own.

    Raises:
        ReleaseError: an arm takes other inputs than control.
    """

    def __init__(
        self,
        experiment: Experiment,
        attributes: Mapping[str, str],
        candidates: Mapping[str, Predictor],
    ) -> None:
        for serving in candidates.values():
            check_same_inputs(candidates[CONTROL].release, serving.release)
        self.candidates = candidates
        self._experiment = experiment
        self._attributes = attributes
        self._seen: set[bytes] = set()
        self._key = CallingKey()
        for serving in candidates.values():
            serving.monitor.count_keys(self._key)

    def serving_for(self, unit: str) -> Predictor | None:
        """Return the predictor of the key's arm.

        ``None`` where the arm was dropped: the key gets what serves, counted on no arm.
        """
        arm = self._experiment.arm_of(unit, self._attributes)
        if arm in self._experiment.dropped:
            return None
        name = CONTROL if arm is None else arm.name
        self._count(unit, name)
        return self.candidates[name]

    def _count(self, unit: str, arm: str) -> None:
        """Note for whom this thread predicts, and the first sight of a key.

        Only a hash of it is remembered. A process that starts again counts it again: it is in the
        same bucket then, and buckets are what the hub compares.
        """
        mark, self._key.bucket = mark_of(self._experiment.salt, unit)
        if mark not in self._seen and len(self._seen) < UNITS:
            self._seen.add(mark)
            self.candidates[arm].monitor.record_unit(self._key.bucket)

    def servings(self) -> Iterator[Predictor]:
        yield from self.candidates.values()

    def answered(self, arm: str) -> bool:
        self.candidates[arm].monitor.fold()
        return self.candidates[arm].monitor.answered

    def failure(self, now: float, errors: int) -> tuple[str, str] | None:
        return failing(self.candidates, errors)

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        bodies: list[Body] = []
        for serving in self.candidates.values():
            bodies.extend(serving.monitor.collect(now, final=final))
        return bodies

    def close(self) -> None:
        """Its servings are closed by whoever retires them."""
