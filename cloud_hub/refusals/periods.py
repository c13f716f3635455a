"""Since when a version serves, by the plans of its model. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_sdk.contract.limits import CLOCK_SKEW_SECONDS


@dataclass(frozen=True)
class Period:
    """A version that serves.

    Attributes:
        version: that serves.
        since: an event that is older speaks of an earlier time, Unix seconds by a device's clock.
        again: it served before, and another one in between.
    """

    version: str
    since: float
    again: bool


def period_of(serving: Iterable[tuple[str, float]]) -> Period:
    """Return the present period of a model.

    Args:
        serving: the version that each of its plans let serve, and when that plan was made (Unix
            seconds), newest first; one at least.
    """
    plans = iter(serving)
    version, begin = next(plans)
    replaced_at: float | None = None
    for name, at in plans:
        if name != version:
            # Of those between its two times the oldest, which comes last here, took its place.
            replaced_at = at
        elif replaced_at is None:
            begin = at
        else:
            # Clocks of devices differ, but nothing that was said of its last time counts now.
            return Period(version, max(begin - CLOCK_SKEW_SECONDS, replaced_at), True)
    return Period(version, begin - CLOCK_SKEW_SECONDS, False)
