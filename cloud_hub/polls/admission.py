"""Who is let in while a hub has more to do than it can: news first, then what can wait. Pure.

A request beyond what can be answered soon is refused at once, before its body is read, with the
time to come again: that costs a hundredth of the answer, and whoever waited in a queue of minutes
would have given up and asked again. Refusing is bounded by what is on its way and not by a rate,
so that a fast machine serves more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Kind = Literal["poll", "upload", "download", "other"]
"""Of requests: ``poll`` is what keeps a device in the fleet (news, check-ins, credentials),
``upload`` and ``download`` carry much and can wait, ``other`` are people's."""

MOST: Final[Mapping[Kind, int]] = {"poll": 1_000, "upload": 300, "download": 200}
"""Requests of each kind that may be on their way at once. Those of people are never refused."""

CROWDED: Final = 1_000
"""Requests on their way, of all kinds, beyond which only polls are let in."""

LONGEST_SECONDS: Final = 300.0
FIRST_SECONDS: Final = 30.0
"""Longest that somebody is sent away for, and for how long when a crowd has just come."""

ROOM: Final = 1.25
"""Times the time in which the refused can be answered, for others come meanwhile."""

GUESSED_SECONDS: Final = 5.0
"""In which a hub answers what may be on its way at once, as long as nobody has seen how long."""

_POLLS: Final = ("/v1/metadata/", "/v1/checkin", "/v1/alive", "/v1/credentials", "/v1/enrol")
_UPLOADS: Final = ("/v1/messages", "/v1/predict")
_DOWNLOADS: Final = ("/v1/targets/", "/v1/forms/")


def kind_of(path: str) -> Kind:
    """Return the kind of a request for a path."""
    if path.startswith("/v1/enrolment-tokens"):
        return "other"
    if path.startswith(_POLLS):
        return "poll"
    if path.startswith(_UPLOADS):
        return "upload"
    return "download" if path.startswith(_DOWNLOADS) else "other"


def admits(kind: Kind, under_way: Mapping[Kind, int]) -> bool:
    """Return whether one more request is let in.

    Args:
        kind: of the request.
        under_way: requests that are being answered, by kind.
    """
    if kind == "other":
        return True
    crowded = kind != "poll" and sum(under_way.values()) >= CROWDED
    return under_way.get(kind, 0) < MOST[kind] and not crowded


def answer_rate(kind: Kind, answered: int, seconds: float) -> float:
    """Return how many requests a second a hub answers while too many come.

    A crowd that has just come says nothing of that yet, and neither does the quiet before it:
    whoever was refused in a storm's first second would be sent away for minutes, and the hub idle.

    Args:
        kind: of the requests.
        answered: since the crowd came.
        seconds: since then.
    """
    return (answered + MOST.get(kind, 1)) / (seconds + GUESSED_SECONDS)


def longest_wait(seconds: float) -> float:
    """Return how long somebody is sent away for at most.

    What a hub can answer is seen best when most of a crowd is gone: a guess of the first seconds,
    which go into refusals, sent half of it away for minutes in which the hub had nothing to do.

    Args:
        seconds: since the crowd came.
    """
    return min(FIRST_SECONDS + 2 * seconds, LONGEST_SECONDS)


def come_again(refused: int, answered: float, draw: float, longest: float) -> int:
    """Return the seconds after which somebody who is refused should come again.

    Those who are refused now come back together, so they are spread evenly over a little more than
    the time in which they can be answered, and over the longest that anybody waits where that is
    shorter: all who would have to wait longer would else come at its end, at once.

    Args:
        refused: requests that were refused lately, this one included.
        answered: requests a second that were answered lately.
        draw: from 0 to 1, at random.
        longest: that anybody is sent away for, seconds.
    """
    needed = ROOM * refused / max(answered, 1.0)
    return round(1 + draw * min(needed, longest - 1))
