"""The session of one unit, for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_sdk.aio.calls import AsyncCalls
    from edge_sdk.aio.turns import Turns
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.sessions.unit_session import UnitSession


class AsyncUnitSession:
    """The session of one unit; see :class:`edge_sdk.sessions.unit_session.UnitSession`.

    Attributes:
        unit: whose it is.

    Args:
        session: of the device.
        calls: of the model.
        turns: threads of the device.
    """

    def __init__(self, session: UnitSession, calls: AsyncCalls, turns: Turns) -> None:
        self.unit = session.unit
        self._session, self._calls, self._turns = session, calls, turns

    async def event(self, event: Mapping[str, Any], *, at: Any = None) -> None:
        """Tell what happened; see :meth:`UnitSession.event`."""
        if self._session.is_here:  # microseconds, and waits for nothing
            self._session.event(event, at=at)
        else:
            await self._turns.run(lambda: self._session.event(event, at=at))

    async def predict(self, x: Any = None, **options: Any) -> Prediction:
        """Answer one input, of which the session's features are part."""
        return await self._calls.predict(x, unit=self.unit, **options)

    async def features(self) -> dict[str, Any]:
        """Return the values of the features now, by name."""
        return await self._turns.run(self._session.features)

    async def end(self) -> bool:
        """End the session; return whether there was one."""
        return await self._turns.run(self._session.end)
