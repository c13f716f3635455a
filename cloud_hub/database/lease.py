"""When a worker may take the hub's background work over: pure decisions, times are arguments.

The leader renews its lease by the database's clock, which all workers share. It takes itself for
the leader for a shorter time than others wait, by a clock of its own that nobody sets: so two never
lead at once, however far apart their machines' clocks are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEASE_SECONDS: Final = 10.0
"""Age of the last renewal at which another worker takes over from a leader that hangs."""

MARGIN: Final = 0.2
"""Share of the lease by which a leader that cannot renew it stops before others may take it."""

RENEWALS: Final = 5
"""Renewals within one lease."""

MOST_SKEW_SECONDS: Final = 5.0
"""A worker whose clock is further from the database's leads only if nobody else does."""


@dataclass(frozen=True)
class LeaderStatus:
    """What a worker knows of the leader.

    Attributes:
        leads: this worker does.
        holder: name of the worker that does, as far as is known.
        term: number of the leadership; each new leader has a higher one. 0 for none.
        clock_off_seconds: this machine's clock against the database's; 0 within what the
            connection lets one tell.
        problem: why it is not known, or what is wrong with the clock; empty if nothing is.
    """

    leads: bool
    holder: str = ""
    term: int = 0
    clock_off_seconds: float = 0.0
    problem: str = ""


def skew(before: float, there: float, after: float) -> float:
    """Return how far a clock is ahead of the database's, in seconds; negative if it is behind.

    Args:
        before: the clock before the database was asked.
        there: the database's answer.
        after: the clock when the answer was there.
    """
    if there < before:
        return before - there
    return min(0.0, after - there)  # between the two it may be right


def is_skewed(seconds: float) -> bool:
    """Return whether a clock is too far off to lead before others."""
    return abs(seconds) > MOST_SKEW_SECONDS


def has_expired(age: float, lease: float = LEASE_SECONDS) -> bool:
    """Return whether a leader that renewed ``age`` seconds ago hangs, by the database's clock."""
    return age > lease


def still_leads(since_renewal: float, lease: float = LEASE_SECONDS) -> bool:
    """Return whether the leader may go on, ``since_renewal`` seconds after it asked to renew."""
    return since_renewal < lease * (1 - MARGIN)


def may_try(age: float, off: float, lease: float = LEASE_SECONDS) -> bool:
    """Return whether a worker may try to lead now.

    Args:
        age: seconds since somebody renewed the lease, by the database's clock.
        off: of this worker's clock, see :func:`skew`.
        lease: of the leader.
    """
    return not is_skewed(off) or age > 2 * lease
