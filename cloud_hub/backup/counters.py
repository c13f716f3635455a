"""How far a restored hub counts on, so that no device takes it for one that was rolled back.

A device keeps the newest version of each role and the newest serial of each plan that it saw, and
refuses what is older: that is how a thief who plays old metadata back is found out. A hub that was
restored has the old ones. So it goes on beyond everything that can have been published since its
backup: a hub publishes under a lock, each time with several files synced to the disk, below
:data:`PUBLISHED_A_SECOND` times a second; and nobody decides on one model's plan every second for
days. Pure.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from cloud_hub.errors import Conflict
from edge_sdk.contract.plan import Plan

PUBLISHED_A_SECOND: Final = 100
PLANS_A_SECOND: Final = 1
EVENTS_A_SECOND: Final = 10
MARGIN: Final = 1_000
"""For what came within a second, and for clocks that differ a little."""

CLOCK_SECONDS: Final = 60.0
"""By which this machine's clock may be behind the one that made the backup."""


def versions_ahead(made_at: float, now: float) -> int:
    """Return by how much versions of signed metadata rise.

    Args:
        made_at: moment of the backup, Unix seconds.
        now: the same clock.

    Raises:
        Conflict: the backup is of a later time than now.
    """
    return MARGIN + math.ceil(PUBLISHED_A_SECOND * _since(made_at, now))


def serials_ahead(made_at: float, now: float) -> int:
    """Return by how much the serials of plans rise; see :func:`versions_ahead`."""
    return MARGIN + math.ceil(PLANS_A_SECOND * _since(made_at, now))


def events_ahead(made_at: float, now: float) -> int:
    """Return by how much numbers of events rise; who gets them knows those that are lost by theirs.

    See :func:`versions_ahead`.
    """
    return MARGIN + math.ceil(EVENTS_A_SECOND * _since(made_at, now))


def next_plan(newest: Plan, ahead: int) -> Plan:
    """Return the plan with which a restored hub goes on: what served then, and no experiment.

    What devices reported of the experiment since is lost, and it may have been aborted since.
    """
    return replace(newest, serial=newest.serial + ahead, experiment=None)


def _since(made_at: float, now: float) -> float:
    if now < made_at - CLOCK_SECONDS:
        raise Conflict(
            f"clock: this machine's is {made_at - now:.0f} s behind the time of the backup, and "
            "what a restored hub signs depends on it; set it by NTP first"
        )
    return max(0.0, now - made_at)
