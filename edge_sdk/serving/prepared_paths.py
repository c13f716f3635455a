"""The fast paths of a predictor: one for each thread, and where answers are corrected for units one
more.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import EdgeError
from edge_sdk.serving.fast_path import FastPath, prepare

if TYPE_CHECKING:
    from edge_sdk.model.outputs import Answers
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.model.schema import InputSchema
    from edge_sdk.model.session import Model
    from edge_sdk.packs.reader import Pack
    from edge_sdk.personalise.personaliser import Personaliser
    from edge_sdk.personalise.units.unit_space import HeldUnit
    from edge_sdk.serving.cascade import CascadeRule
    from edge_sdk.telemetry.groups import GroupValues
    from edge_sdk.telemetry.monitor import Monitor


class PreparedPaths:
    """Methods of a predictor by which a thread gets its fast paths."""

    asks_cloud: bool
    model: Model
    monitor: Monitor
    _answers: Answers
    _local: threading.local
    _pack: Pack | None
    _rule: CascadeRule
    _schema: InputSchema
    personal: Personaliser | None

    def _count(self, error: EdgeError) -> None:
        raise NotImplementedError

    def predict_any(
        self,
        x: Any,
        *,
        deadline_ms: float | None = None,
        groups: GroupValues | None = None,
        unit: HeldUnit | None = None,
    ) -> Prediction:
        """Answer one input on the general path."""
        raise NotImplementedError

    def _settle(self, checked: Any, local: Prediction, deadline: float | None = None) -> Prediction:
        raise NotImplementedError

    def _prepare(self, personal: Personaliser | None = None) -> FastPath | None:
        if self.asks_cloud and self._rule.first:
            return None  # the cloud answers first: there is nothing to make fast
        settle = self._settle if self.asks_cloud else None
        parts = (self.model, self._schema, self._answers, self.monitor)
        if personal is None:
            return prepare(*parts, pack=self._pack, settle=settle)
        from edge_sdk.serving.personal_path import PersonalSteps  # only where units are told apart

        steps = PersonalSteps(personal, self._answers, self.monitor, settle)
        return prepare(*parts, pack=self._pack, settle=settle, personal=steps)

    def _bound(self) -> FastPath | None:
        """Return the fast path of the calling thread, which had none."""
        # Taken before: if the model is unloaded meanwhile, what is bound to it goes with this one.
        local = self._local
        try:
            fast = local.fast = self._prepare()
        except EdgeError as error:
            self._count(error)
            raise
        return fast

    def _bound_for(self, personal: Personaliser) -> FastPath | None:
        """Return the same for units."""
        local = self._local
        try:
            fast = local.personal = self._prepare(personal)
        except EdgeError as error:
            self._count(error)
            raise
        return fast

    def _unbind(self) -> None:
        """Give up the buffers of all threads: the model is unloaded."""
        self._local = threading.local()

    def predict_for(
        self,
        name: str,
        x: Any,
        groups: GroupValues | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """Answer one input for a unit, whose own correction serves where it may.

        Args:
            name: of the unit, checked.
            x: the input, as for :meth:`predict`.
            groups: likewise.
            deadline_ms: as for :meth:`predict_any`.

        Raises:
            InputError: the input does not fit the model; the model did not run.
            ReleaseError: the model failed on it.
        """
        personal = self.personal
        if personal is None:
            return self.predict_any(x, deadline_ms=deadline_ms, groups=groups)
        unit = personal.hot.get(name) or personal.find(name)
        unit.used = True
        try:
            fast: FastPath | None = self._local.personal
        except AttributeError:
            fast = self._bound_for(personal)
        if fast is not None and deadline_ms is None:
            try:
                codes = None if groups is None else self.monitor.grouping.encode(groups)
                prediction = fast(x, (unit, codes))
            except EdgeError as error:
                self._count(error)
                raise
            if prediction is not None:
                return prediction
        return self.predict_any(x, deadline_ms=deadline_ms, groups=groups, unit=unit)
