"""The calls of an application to one model, for asyncio; made on the device or on a model of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_sdk.aio.inline import InlineRule
    from edge_sdk.aio.sessions import AsyncUnitSession
    from edge_sdk.aio.turns import Turns
    from edge_sdk.fleet.model_calls import ModelCalls
    from edge_sdk.model.explain import Explanation
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.serving.ranking import Ranking


class AsyncCalls:
    """Predictions, rankings, explanations and feedback of one model, which do not hold up an event
    loop.
    """

    _turns: Turns
    _rule: InlineRule

    def _answering(self) -> Callable[[], ModelCalls]:
        """Return what gives the model that answers; it may wait for another process, once.

        Raises:
            StateError: the device is not open.
        """
        raise NotImplementedError

    async def predict(
        self,
        x: Any = None,
        *,
        entity: str | None = None,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """Answer one input; see :meth:`edge_sdk.EdgeDevice.predict`."""
        answering, rule = self._answering(), self._rule

        def ask() -> Prediction:
            started = time.perf_counter()
            try:
                return answering().predict(
                    x, entity=entity, unit=unit, groups=groups, deadline_ms=deadline_ms
                )
            finally:
                rule.took(time.perf_counter() - started)

        if rule.runs_inline() and not answering().may_wait():
            return ask()
        return await self._turns.run(ask)

    async def predict_batch(self, x: Any, **options: Any) -> BatchPrediction:
        """Answer N inputs; see :meth:`edge_sdk.EdgeDevice.predict_batch`."""
        answering = self._answering()
        return await self._turns.run(lambda: answering().predict_batch(x, **options))

    async def predict_ranking(self, x: Any, **options: Any) -> Ranking:
        """Rank items; see :meth:`edge_sdk.EdgeDevice.predict_ranking`."""
        answering = self._answering()
        return await self._turns.run(lambda: answering().predict_ranking(x, **options))

    async def explain(self, x: Any, **options: Any) -> Explanation:
        """Explain an answer; see :meth:`edge_sdk.EdgeDevice.explain`."""
        answering = self._answering()
        return await self._turns.run(lambda: answering().explain(x, **options))

    async def stored_features(self, entity: str) -> StoredFeatures:
        """Return what is stored of an entity; see :meth:`edge_sdk.EdgeDevice.stored_features`."""
        answering = self._answering()
        return await self._turns.run(lambda: answering().stored_features(entity))

    async def session(self, unit: str) -> AsyncUnitSession:
        """Return the session of a unit; see :meth:`edge_sdk.EdgeDevice.session`."""
        from edge_sdk.aio.sessions import AsyncUnitSession

        answering = self._answering()
        session = await self._turns.run(lambda: answering().session(unit))
        return AsyncUnitSession(session, self, self._turns)

    async def feedback(self, prediction: str, **outcome: Any) -> None:
        """Report an outcome; see :meth:`edge_sdk.EdgeDevice.feedback`."""
        answering = self._answering()
        await self._turns.run(lambda: answering().feedback(prediction, **outcome))

    async def forget(self, unit: str) -> bool:
        """Delete all that was learned of a unit; see :meth:`edge_sdk.EdgeDevice.forget`."""
        answering = self._answering()
        return await self._turns.run(lambda: answering().forget(unit))
