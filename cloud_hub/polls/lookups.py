"""Credentials that are not known, looked up many at once.

A fleet whose devices ask once a minute is known to nobody's memory. While one query runs, those who
come meanwhile gather for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fastapi.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice

AT_ONCE: Final = 500
"""Credentials of one query."""

Found = Sequence["EnrolledDevice | None"]


class CredentialLookups:
    """Looks credentials up for whoever waits on one event loop.

    Args:
        look_up: asks the database: of each credential the device, ``None`` if it is not valid.
    """

    def __init__(self, look_up: Callable[[Sequence[str]], Found]) -> None:
        self._look_up = look_up
        self._wanted: dict[str, asyncio.Future[EnrolledDevice | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def find(self, credential: str) -> EnrolledDevice | None:
        """Return the device of a credential; ``None`` if it is not valid.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        wanted = self._wanted.get(credential)
        if wanted is None:
            loop = asyncio.get_running_loop()
            wanted = self._wanted[credential] = loop.create_future()
            if self._asking is None or self._asking.done():
                self._asking = loop.create_task(self._ask())
        # Shielded: whoever hangs up takes no answer from the others.
        return await asyncio.shield(wanted)

    async def _ask(self) -> None:
        while self._wanted:
            asked = dict(list(self._wanted.items())[:AT_ONCE])
            for credential in asked:
                del self._wanted[credential]
            try:
                found = await run_in_threadpool(self._look_up, list(asked))
            except Exception as error:
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # seen, even if whoever asked has hung up
            else:
                for future, device in zip(asked.values(), found, strict=True):
                    future.set_result(device)
