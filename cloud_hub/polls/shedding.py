"""Middleware that refuses early what :mod:`cloud_hub.polls.admission` does not let in."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.polls.admission import (
    Kind,
    admits,
    answer_rate,
    come_again,
    kind_of,
    longest_wait,
)

LOOK_SECONDS: Final = 10.0
"""Time over which is counted how many are answered and refused while too many come."""

HANG_UP_BYTES: Final = 64 << 10
"""Bodies from here on are not waited for: the connection is closed with the refusal."""


class Load:
    """What is on its way in one process. For one thread, that of the event loop.

    Args:
        clock: monotonic seconds.
        draw: numbers from 0 to 1.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._draw = draw
        self.under_way: Counter[Kind] = Counter()
        self.refused: Counter[Kind] = Counter()
        """Of each kind, ever: for metrics."""
        self._since = self._crowd_came = clock()
        self._lately: tuple[Counter[Kind], Counter[Kind]] = (Counter(), Counter())
        self._before: tuple[Counter[Kind], Counter[Kind], float] = (Counter(), Counter(), 0.0)

    def enter(self, kind: Kind) -> int:
        """Let a request in and return 0, or return the seconds after which it should come again."""
        self._look()
        if admits(kind, self.under_way):
            self.under_way[kind] += 1
            return 0
        self.refused[kind] += 1
        if not self._lately[0] and not self._before[0]:
            self._begin()
            self._crowd_came = self._since
        refused, answered = self._lately
        refused[kind] += 1
        was_refused, was_answered, seconds = self._before
        now = self._clock()
        rate = answer_rate(kind, was_answered[kind] + answered[kind], seconds + now - self._since)
        longest = longest_wait(now - self._crowd_came)
        return come_again(was_refused[kind] + refused[kind], rate, self._draw(), longest)

    def leave(self, kind: Kind) -> None:
        """Note that a request was answered."""
        self.under_way[kind] -= 1
        self._lately[1][kind] += 1

    def _look(self) -> None:
        passed = self._clock() - self._since
        if passed >= LOOK_SECONDS:
            crowded = self._lately[0] and passed < 2 * LOOK_SECONDS
            before = (*self._lately, passed) if crowded else (Counter[Kind](), Counter[Kind](), 0.0)
            self._begin()
            self._before = before

    def _begin(self) -> None:
        """Count from now on: what a hub answers in quiet times is not what it can."""
        self._before = (Counter(), Counter(), 0.0)
        self._lately, self._since = (Counter(), Counter()), self._clock()


class Shedding:
    """Middleware that answers 503 with ``Retry-After`` where a hub has too much to do.

    Args:
        app: what answers the others.
        load: what is on its way.
    """

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = kind_of(scope["path"])
        wait = self._load.enter(kind)
        if wait:
            await _refusal(scope, wait)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._load.leave(kind)


def _refusal(scope: Scope, wait: int) -> SafeJSONResponse:
    headers = {"Retry-After": str(wait)}
    length = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
    if not length.isdigit() or int(length[:18]) > HANG_UP_BYTES:
        headers["Connection"] = "close"
    reason = f"this hub has too much to do just now; come again in {wait} s"
    return SafeJSONResponse({"error": reason}, 503, headers)
