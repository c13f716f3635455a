"""Work beside the loop: on a thread of its own, begun in one tick and taken in a later one.

Invariant: what is computed apart writes nothing that only the leader may write. Whoever takes the
result does, in a tick.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cloud_hub.errors import HubFault

T = TypeVar("T")


class Cancelling:
    """What work apart asks whether it is still wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._calls: list[Callable[[], None]] = []

    def check(self) -> None:
        """Go on; raises HubFault if nobody wants the work any more."""
        if self._cancelled:
            raise HubFault("nobody waits for this work any more")

    def tell(self, call: Callable[[], None]) -> None:
        """Have something called that ends a wait, when the work is cancelled or if it is."""
        with self._lock:
            self._calls.append(call)
            cancelled = self._cancelled
        if cancelled:
            call()

    def cancel(self) -> None:
        """Say that nobody wants the work any more."""
        with self._lock:
            self._cancelled = True
            calls = list(self._calls)
        for call in calls:
            call()


class WorkApart(Generic[T]):
    """One piece of work, begun at once.

    Args:
        compute: the work.
        name: of its thread.
    """

    def __init__(self, compute: Callable[[Cancelling], T], name: str) -> None:
        self._compute = compute
        self._cancelling = Cancelling()
        self._result: list[T] = []
        self._error: BaseException | None = None
        # A daemon: a hub that ends does not wait for what nobody takes.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def done(self, seconds: float | None) -> bool:
        """Wait, and return whether it is over.

        Args:
            seconds: to wait at most; ``None`` for as long as it takes.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> T:
        """Return what it came to, or raise what it raised; it must be over."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def cancel(self) -> None:
        """Have it end soon; see :meth:`done`."""
        self._cancelling.cancel()

    def _run(self) -> None:
        try:
            self._result.append(self._compute(self._cancelling))
        except BaseException as error:  # whoever takes the result is told
            self._error = error
