"""Credentials that were looked up a moment ago, in memory: a device asks several things in a row.

Invariants:

* Nothing is known for longer than :data:`SECONDS`: by then every process of the hub has seen what
  another one changed, such as a device that was revoked there.
* What this process changes it sees at once. Whoever changes an identity calls :meth:`forget` after
  the commit; what was read from the database before that is not remembered after it.
* No secret is held, only its digest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice

SECONDS: Final = 5.0
MOST: Final = 50_000
"""Credentials that are known at once, about 20 MB; beyond it the oldest are looked up again."""


class KnownCredential(NamedTuple):
    """A credential as the database had it.

    Attributes:
        device: that it belongs to.
        given_at: Unix seconds.
        until: monotonic seconds from which on it has to be looked up again.
    """

    device: EnrolledDevice
    given_at: float
    until: float


class KnownCredentials:
    """The credentials that one process knows, by digest. Safe from several threads.

    Args:
        clock: monotonic seconds.
        most: to know at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[str, KnownCredential] = {}
        self._of_device: dict[str, str] = {}
        self._changes = 0

    @property
    def changes(self) -> int:
        """Return how often something was forgotten; to be read before the database is."""
        return self._changes

    def get(self, digest: str) -> KnownCredential | None:
        """Return what is known of a credential."""
        known = self._known.get(digest)
        return known if known is not None and self._clock() < known.until else None

    def learn(self, digest: str, device: EnrolledDevice, given_at: float, changes: int) -> None:
        """Remember what the database said, unless something has been forgotten meanwhile.

        Args:
            digest: of the credential.
            device: that it belongs to.
            given_at: Unix seconds.
            changes: :attr:`changes` as it was before the database was asked.
        """
        with self._lock:
            if changes != self._changes:
                return
            self._drop(device.device)
            while len(self._known) >= self._most:
                oldest = next(iter(self._known.values()))
                self._drop(oldest.device.device)
            self._known[digest] = KnownCredential(device, given_at, self._clock() + SECONDS)
            self._of_device[device.device] = digest

    def forget(self, device: str) -> None:
        """Look a device up again from now on."""
        with self._lock:
            self._changes += 1
            self._drop(device)

    def clear(self) -> None:
        """Look every device up again."""
        with self._lock:
            self._changes += 1
            self._known.clear()
            self._of_device.clear()

    def __len__(self) -> int:
        return len(self._known)

    def _drop(self, device: str) -> None:
        digest = self._of_device.pop(device, None)
        if digest is not None:
            self._known.pop(digest, None)
