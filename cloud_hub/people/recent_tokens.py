"""Access tokens that were looked up a moment ago, in memory: an application asks a model all day.

Invariants:

* Nothing is known for longer than :data:`SECONDS`: by then every process of the hub has seen what
  another one changed, such as a token that was revoked there.
* What this process changes it sees at once. Whoever changes people or tokens calls :meth:`clear`
  after the commit; what was read from the database before that is not remembered after it.
* No secret is held, only its digest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cloud_hub.api.roles import Person

SECONDS: Final = 1.0
MOST: Final = 10_000
"""Tokens that are known at once; beyond it the oldest are looked up again."""


class _LookedUpToken(NamedTuple):
    """Who a token let in, and the monotonic second from which on it has to be looked up again."""

    person: Person
    until: float


class RecentTokens:
    """The access tokens that one process has just looked up, by digest. Safe from several threads.

    Args:
        clock: monotonic seconds.
        most: to know at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock, self._most = clock, most
        self._lock = threading.Lock()
        self._seen: dict[str, _LookedUpToken] = {}
        self._changes = 0

    @property
    def changes(self) -> int:
        """Return how often everything was forgotten; to be read before the database is."""
        return self._changes

    def get(self, digest: str, now: float) -> Person | None:
        """Return who a token let in a moment ago, ``None`` if it has to be looked up.

        Args:
            digest: of the token.
            now: Unix seconds, by which the token may have expired.
        """
        seen = self._seen.get(digest)
        if seen is None or self._clock() >= seen.until:
            return None
        expires = seen.person.until
        return seen.person if expires is None or now < expires else None

    def learn(self, digest: str, person: Person, changes: int) -> None:
        """Remember what the database said, unless everything has been forgotten meanwhile.

        Args:
            digest: of the token.
            person: whom it lets in.
            changes: :attr:`changes` as it was before the database was asked.
        """
        with self._lock:
            if changes != self._changes:
                return
            self._seen.pop(digest, None)  # to the end: the first is the oldest
            while len(self._seen) >= self._most:
                del self._seen[next(iter(self._seen))]
            self._seen[digest] = _LookedUpToken(person, self._clock() + SECONDS)

    def clear(self) -> None:
        """Look every token up again from now on."""
        with self._lock:
            self._changes += 1
            self._seen.clear()

    def __len__(self) -> int:
        return len(self._seen)
