"""Telling a device from its copy by the chain of its credentials. Pure.

A device numbers its requests for credentials and puts each, with a nonce, on its disk before it
sends it. The hub remembers the number and the nonce of the last one that it answered:

* the next number is the ordinary case;
* the last number with the same nonce is a reply that was lost on its way, or a device that was
  killed before it noted it: answered again, as often as it comes;
* the last number with another nonce, or an earlier number, was sent by a second copy of the disk,
  or by a device that was restored from a backup. Nobody can tell which of two is the right one;
* a number beyond the next can only mean that the hub itself was restored from a backup. It follows.

Two copies of one disk share the request that is on it, so the first time both are answered; each
then has a nonce of its own, and the second of the two that asks again is found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Step = Literal["next", "repeat", "ahead", "clone"]


@dataclass(frozen=True)
class ChainPosition:
    """The position of a device's chain, as the hub has it.

    Attributes:
        generation: credentials that were given to it.
        nonce: of the request that got the last one; ``None`` before the first.
    """

    generation: int = 0
    nonce: str | None = None

    def step(self, generation: int, nonce: str) -> Step:
        """Return what a request is; arguments as in the request."""
        if generation == self.generation:
            return "next"
        if generation > self.generation:
            return "ahead"
        repeated = generation == self.generation - 1 and nonce == self.nonce
        return "repeat" if repeated else "clone"

    def after(self, generation: int, nonce: str) -> ChainPosition:
        """Return the position once a request was answered."""
        return ChainPosition(generation + 1, nonce)


ANYWHERE = ChainPosition()
"""Position that takes any request as the next: the chain begins anew with whoever asks first."""
