"""Rates at which the hub serves: for each device, for strangers and for failures by address.

Token buckets in memory, each process its own; a fleet of honest devices behind one address never
meets them. Invariants:

* A device with a valid credential is limited by its identity alone: its neighbours behind the same
  address cannot lock it out. The same holds for the administrator's token.
* A stranger is limited by address. Who fails too often (a wrong token, signature or secret) is not
  listened to any more at enrolment: there people's own one-time secrets could be guessed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloud_hub.errors import HubFault, TooManyRequests, Unauthenticated
from cloud_hub.settings import Rate, RateSettings

MOST_KEYS: Final = 100_000
"""Addresses or devices that a table of buckets remembers; beyond it the fullest are forgotten."""


@dataclass(frozen=True)
class Bucket:
    """A bucket of tokens at a moment: each request takes one, and they come back with time."""

    tokens: float
    at: float

    def filled(self, rate: Rate, now: float) -> Bucket:
        """Return it as it is at ``now``; a clock that goes back fills nothing."""
        grown = self.tokens + rate.per_second * max(0.0, now - self.at)
        return Bucket(min(rate.burst, grown), max(self.at, now))

    def wait(self, rate: Rate) -> float:
        """Return the seconds until it has a token; 0 if it has one."""
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) / rate.per_second


class Buckets:
    """A bucket for each key, all of one rate. Safe from several threads.

    Args:
        rate: of each; one of 0 a second is no limit.
        most: keys to remember.
    """

    def __init__(self, rate: Rate, most: int = MOST_KEYS) -> None:
        self._rate = rate
        self._most = most
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def take(self, key: str, now: float) -> float:
        """Take a token; return the seconds to wait where there is none, else 0.

        Args:
            key: whose bucket.
            now: monotonic seconds.
        """
        with self._lock:
            bucket = self._bucket(key, now)
            wait = bucket.wait(self._rate) if self._rate.limits else 0.0
            if wait == 0 and self._rate.limits:
                self._buckets[key] = Bucket(bucket.tokens - 1, bucket.at)
                self._prune(now)
            return wait

    def wait(self, key: str, now: float) -> float:
        """Return the seconds until there is a token, and take none."""
        with self._lock:
            return self._bucket(key, now).wait(self._rate) if self._rate.limits else 0.0

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, key: str, now: float) -> Bucket:
        found = self._buckets.get(key)
        return Bucket(self._rate.burst, now) if found is None else found.filled(self._rate, now)

    def _prune(self, now: float) -> None:
        if len(self._buckets) <= self._most:
            return
        # Half at once, the fullest first: what is forgotten begins anew with a full bucket. So
        # whoever has to wait is forgotten last, however many addresses are sent to push them out.
        fullest = sorted(self._buckets, key=lambda key: -self._bucket(key, now).tokens)
        for key in fullest[: len(fullest) // 2]:
            del self._buckets[key]


class RateLimits:
    """What one hub process lets through.

    Args:
        settings: rates.
        clock: monotonic seconds.
    """

    def __init__(self, settings: RateSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._devices = Buckets(settings.device)
        self._strangers = Buckets(settings.address)
        self._failures = Buckets(settings.failures)

    def admit_device(self, device: str) -> None:
        """Count a request of a device; raises TooManyRequests."""
        _refuse(self._devices.take(device, self._clock()), "this device asks too often")

    def admit_caller(self, token: str | None) -> None:
        """Count a request to a model, at the rate of a device; raises TooManyRequests.

        Args:
            token: id of the access token that it shows; who shows none is not limited.
        """
        if token is not None:  # no device's name has a space
            _refuse(
                self._devices.take(f"token {token}", self._clock()), "this token asks too often"
            )

    def admit_stranger(self, address: str) -> None:
        """Count a request of somebody who is yet to prove who they are; raises TooManyRequests."""
        _refuse(self._strangers.take(address, self._clock()), "too many requests from this address")

    def admit_guess(self, address: str, subject: str | None = None) -> None:
        """Refuse to look at a secret after too many wrong ones; raises TooManyRequests.

        Args:
            address: where it comes from.
            subject: whose secret it would be, such as a serial number: guesses from many addresses
                add up.
        """
        for key in (address, f"about {subject}") if subject is not None else (address,):
            _refuse(self._failures.wait(key, self._clock()), "too many wrong tokens or signatures")

    def after(self, error: HubFault, address: str, subject: str | None = None) -> HubFault:
        """Return the answer to somebody who failed: the error, or that they fail too often.

        Args:
            error: any; only wrong tokens, secrets and signatures count.
            address: where it comes from.
            subject: as for :meth:`admit_guess`.
        """
        if not isinstance(error, Unauthenticated) or not error.guess:
            return error
        waits = [self._failures.take(address, self._clock())]
        if subject is not None:
            waits.append(self._failures.take(f"about {subject}", self._clock()))
        if max(waits) > 0:
            return TooManyRequests("too many wrong tokens or signatures", max(waits))
        return error


def _refuse(wait: float, reason: str) -> None:
    if wait > 0:
        raise TooManyRequests(f"{reason}; come again in {wait:.0f} s", wait)
