"""A device's short-lived credential: asked for when it is needed, renewed before it expires.

Invariants:

* Its life is counted on the monotonic clock, so a wrong clock neither shortens nor lengthens it.
* Threads that need one wait for one renewal; none is asked for twice at once.
* A hub that says no to this identity (:class:`IdentityRefused`) is not asked again before the next
  sync begins, however many predictions would like to ask the cloud.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from edge_sdk.errors import HubError, IdentityRefused

if TYPE_CHECKING:
    from edge_sdk.contract.fleet import CredentialReply, CredentialRequest, Standing

T = TypeVar("T")
RENEW_AT: Final = 0.8
"""Share of its life after which a credential is renewed, so that none expires on its way."""


class CredentialChain(Protocol):
    """The requests of one device, each on its disk before it is sent."""

    def request(self) -> CredentialRequest:
        """Return the request to send now; the same one until :meth:`advance` has been called."""

    def advance(self) -> None:
        """Move on to the next request, as far as the disk takes it: this one was answered."""


class Credentials:
    """Credentials of one device for one hub. Safe from several threads.

    Args:
        chain: what is sent to get one.
        clock: monotonic seconds.
    """

    def __init__(self, chain: CredentialChain, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._clock = clock
        self._lock = threading.Lock()
        self._credential: str | None = None
        self._renew_at = 0.0
        self._accepted = False
        self._may_ask = False
        self._refusal: IdentityRefused | None = None

    @property
    def standing(self) -> Standing | None:
        """How the hub saw this identity when it was last asked; ``None`` before that."""
        if self._refusal is not None:
            return self._refusal.standing
        return "active" if self._accepted else None

    @property
    def refusal(self) -> IdentityRefused | None:
        """The hub's refusal of this identity, if its last word was one."""
        return self._refusal

    def authorised(
        self,
        exchange: Callable[[CredentialRequest], CredentialReply],
        ask: Callable[[Mapping[str, str]], T],
    ) -> T:
        """Ask the hub as this device; once more where it does not take the credential.

        That may have expired by the hub's clock, or there is a newer one.

        Args:
            exchange: sends a request for a credential and returns the reply.
            ask: makes the request with the headers that it is given.

        Raises:
            IdentityRefused: the hub said no to this identity, now or since the last sync began.
            HubError: the hub refused, or cannot be reached.
        """
        credential = self.current(exchange)
        try:
            try:
                return ask(_bearer(credential))
            except HubError as error:
                if error.status != 401 or isinstance(error, IdentityRefused):
                    raise
            self.discard(credential)
            return ask(_bearer(self.current(exchange)))
        except IdentityRefused as refusal:
            self.refused(refusal)
            raise

    def current(self, exchange: Callable[[CredentialRequest], CredentialReply]) -> str:
        """Return a credential that is valid by all that this device knows.

        Args:
            exchange: sends a request to the hub and returns its reply.

        Raises:
            IdentityRefused: the hub said no to this identity, now or since the last sync began.
            HubError: the hub refused, or cannot be reached.
        """
        with self._lock:
            if (said := self._refusal) is not None and not self._may_ask:
                raise IdentityRefused(str(said), said.status, said.standing)
            if self._credential is None or self._clock() >= self._renew_at:
                self._renew(exchange)
            assert self._credential is not None
            return self._credential

    def discard(self, credential: str) -> None:
        """Forget a credential that the hub did not take; a newer one stays."""
        with self._lock:
            if self._credential == credential:
                self._credential = None

    def refused(self, refusal: IdentityRefused) -> None:
        """Remember that the hub said no to this identity."""
        with self._lock:
            self._remember(refusal)

    def ask_again(self) -> None:
        """Let calls ask the hub until it answers, whatever it said before."""
        with self._lock:
            self._may_ask = True

    def _renew(self, exchange: Callable[[CredentialRequest], CredentialReply]) -> None:
        began = self._clock()  # before it is sent: the hub counts from a moment after this one
        try:
            reply = exchange(self._chain.request())
        except IdentityRefused as refusal:
            self._remember(refusal)
            raise
        self._chain.advance()
        self._credential, self._accepted, self._refusal = reply.credential, True, None
        self._renew_at = began + RENEW_AT * reply.seconds

    def _remember(self, refusal: IdentityRefused) -> None:
        self._refusal, self._credential, self._may_ask = refusal, None, False


def _bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}
