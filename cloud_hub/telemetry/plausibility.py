"""What one device can have counted. Pure: a report is a claim, and these are its bounds.

Two bounds hold each count. Of one message: no more than the declared rate allows in its window. Of
all messages of one device about one model and day (its *ledger*): no more than the rate allows
between its enrolment and now, whichever lengths and overlaps its windows have; and of labels no
more than twice the requests that it reported itself. A sum of squares is at least what the sum and
the count make it, and nothing is infinite.

An honest device stays far below: the rate is of a minute, windows that were lost on the way are
allowed for, and late reports are of the time that they are about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from operator import add
from typing import Final

from cloud_hub.errors import Implausible
from edge_sdk.contract.experiment_reports import ShadowReport
from edge_sdk.contract.limits import CLOCK_SKEW_SECONDS, LARGEST_ERROR
from edge_sdk.contract.messages import FeedbackReport, Windowed, WindowReport
from edge_sdk.contract.personal.ranking_report import RankingReport

DAY: Final = 86_400
"""Seconds of a row of the ledger."""

BURST: Final = 60.0
"""Seconds by which every span is taken longer: requests come in bursts."""

LOST: Final = 10_000
"""Requests of a day whose reports may be lost, for a device whose labels come all the same."""

LARGEST: Final = 1e50
"""Of one reward, or one difference of values, from 0."""

ERRORS_LARGEST: Final = 1.001 * LARGEST_ERROR
"""Of one error; devices round."""

OCTAVES: Final = 64.0
"""Of one latency of a candidate by the incumbent's, log2."""

WATTS: Final = 20_000.0
"""Of one device."""

LONGEST_INTERVAL: Final = 30 * 86_400.0
"""Seconds over which a meter may have counted for one report."""

ROUNDING: Final = 1e-6
"""Relative error of sums of floats, which are added up in any order."""


@dataclass(frozen=True)
class Ledger:
    """What one device has reported about one model and day, over all versions and arms.

    ``requests`` of window reports, those that failed included; ``labels`` and ``rewards`` that came
    late; ``compared`` inputs of a shadow; mixed ``sessions``, and lists that adapted.
    """

    requests: int = 0
    labels: int = 0
    rewards: int = 0
    compared: int = 0
    sessions: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the counts, in the order of :data:`COUNTS`."""
        return self.requests, self.labels, self.rewards, self.compared, self.sessions

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(*map(add, self.numbers, other.numbers))


COUNTS: Final = tuple(each.name for each in fields(Ledger))


def counted(body: Windowed) -> Ledger:
    """Return what a message adds to the ledger of the day in which its window began."""
    if isinstance(body, WindowReport):
        return Ledger(requests=sum(body.predictions.values()) + sum(body.errors.values()))
    if isinstance(body, FeedbackReport):
        # A number's error is known without a bound within which it would be right.
        return Ledger(labels=max(body.labelled, body.measured), rewards=body.rewards)
    if isinstance(body, ShadowReport):
        tried = body.compared + sum(body.errors.values())
        return Ledger(labels=_labelled(body), compared=tried)
    if isinstance(body, RankingReport):
        return Ledger(sessions=max(body.lists, body.shown))  # no list is adapted and mixed
    return Ledger(sessions=max(body.sessions, sum(body.wins.values()) + body.ties))


def check_message(
    body: Windowed, *, rate: float, carried: int, enrolled_at: float | None, now: float
) -> None:
    """Refuse a message that no device can have made.

    Args:
        body: of one window.
        rate: requests a second of one device at most.
        carried: observations that a device may have carried over from earlier windows.
        enrolled_at: when the device joined, Unix seconds; ``None`` if that is not known.
        now: Unix seconds.

    Raises:
        Implausible: says what was expected and what came.
    """
    window = body.window
    if enrolled_at is not None and window.end < enrolled_at - CLOCK_SKEW_SECONDS:
        raise Implausible(
            f"window: ends at {window.end}, before this device joined ({int(enrolled_at)}); "
            "check its clock",
            "clock",
        )
    most = rate * (window.end - window.start + BURST)
    for what, count, more in _counts(body, carried):
        if count > most + more:
            raise Implausible(
                f"{what}: expected at most {most + more:.0f} in {window.end - window.start} s at "
                f"{rate:g} a second, got {count}; a policy's reporting.requests_per_second says",
                "counts",
            )
    if isinstance(body, WindowReport):
        since = now - (enrolled_at if enrolled_at is not None else 0.0)
        _check_window_report(body, rate, rate * (since + CLOCK_SKEW_SECONDS + BURST))
    elif isinstance(body, FeedbackReport):
        moments = (body.rewards, body.reward_sum, body.reward_squares)
        _check_moments("rewards", moments, LARGEST)
        sizes = (body.measured, body.error_sum, body.error_squares)
        squares = (body.measured, body.error_squares, body.error_fourths)
        _check_moments("errors of numbers", sizes, ERRORS_LARGEST)
        _check_moments("squared errors of numbers", squares, ERRORS_LARGEST**2)
    elif isinstance(body, ShadowReport):
        _check_moments("confidence", astuple(body.confidence), 1.0)
        _check_moments("value", astuple(body.value), LARGEST)
        _check_moments("latency", astuple(body.latency), OCTAVES)
        _check_moments("off", astuple(body.off), ERRORS_LARGEST)


def check_ledger(
    day: int, have: Ledger, *, rate: float, enrolled_at: float | None, now: float
) -> None:
    """Refuse what is more than the device can have counted in a day, over all its messages.

    Args:
        day: its start, Unix seconds.
        have: the ledger of the day with the message that is to be taken.
        rate: requests a second of one device at most.
        enrolled_at: when the device joined, Unix seconds; ``None`` if that is not known.
        now: Unix seconds.

    Raises:
        Implausible: says what was expected and what came.
    """
    # Windows that began on this day may end on the next; one that has begun may be reported.
    begin = max(day, (enrolled_at if enrolled_at is not None else 0.0) - CLOCK_SKEW_SECONDS)
    span = max(0.0, min(day + DAY, now + CLOCK_SKEW_SECONDS) - begin)
    seconds = span + CLOCK_SKEW_SECONDS + BURST
    most = rate * seconds
    for what in COUNTS:
        if getattr(have, what) > most:
            raise Implausible(
                f"{what}: {getattr(have, what)} of one day in all, expected at most {most:.0f}: "
                f"{rate:g} a second since the day began, or the device joined",
                "counts",
            )
    answered = max(have.requests, have.compared)
    most = 2 * answered + LOST
    if have.labels > most:
        raise Implausible(
            f"labels: {have.labels} of one day in all, but the device reported {answered} "
            f"requests of it; expected at most {most}",
            "counts",
        )


def _counts(body: Windowed, carried: int) -> Iterator[tuple[str, int, int]]:
    """Names and counts that the rate bounds, with what each may have besides."""
    if isinstance(body, WindowReport):
        requests = sum(body.predictions.values()) + sum(body.errors.values())
        yield "requests", requests, 0
        yield "observations", body.observations, carried
        yield "units", body.units, 0
        yield "degraded", body.degraded, 0
        yield "defaulted", body.defaulted, 0
        yield "stale", body.stale, 0
    elif isinstance(body, FeedbackReport):
        yield "labelled", body.labelled, 0
        yield "measured", body.measured, 0
        yield "rewards", body.rewards, 0
        yield "unmatched", body.unmatched, LOST
    elif isinstance(body, ShadowReport):
        yield "compared", body.compared + sum(body.errors.values()), 0
        yield "labelled", _labelled(body), 0
        for name in ("confidence", "value", "latency", "off"):
            yield name, getattr(body, name).count, 0
    elif isinstance(body, RankingReport):
        return  # its sums are of all windows since the last report: the ledger bounds them
    else:
        # Clicks come late, so they are not bounded by the sessions of this very report.
        yield "sessions", body.sessions, 0
        yield "wins", sum(body.wins.values()) + body.ties, 0
        yield "clicks", sum(body.clicks.values()), 0
        yield "first", sum(body.first.values()), 0


def _labelled(body: ShadowReport) -> int:
    return sum(astuple(body.labelled))


def _check_window_report(body: WindowReport, rate: float, ever: float) -> None:
    """Check what may be of many windows: energy, whose seconds it names itself, and groups.

    Args:
        body: the report.
        rate: requests a second of one device at most.
        ever: requests since the device joined at most.
    """
    if body.energy is not None:
        seconds, joules, made = body.energy.seconds, body.energy.joules, body.energy.predictions
        most = rate * (seconds + BURST)
        if not (seconds <= LONGEST_INTERVAL and joules <= WATTS * seconds and made <= most):
            raise Implausible(
                f"energy: expected at most {WATTS:g} watts, {rate:g} predictions a second and "
                f"{LONGEST_INTERVAL:g} s, got {joules:g} J and {made} in {seconds:g} s",
                "counts",
            )
    for column, groups in body.groups.items():
        total = sum(counts.observations for counts in groups.values())
        if total > ever:
            raise Implausible(
                f"groups: {column}: {total} predictions, expected at most {ever:.0f} since the "
                "device joined",
                "counts",
            )


def _check_moments(what: str, moments: tuple[float, float, float], most: float) -> None:
    """Refuse sums that no numbers within ``most`` of 0 have: Cauchy and Schwarz bound them."""
    count, total, squares = moments
    if not (math.isfinite(total) and math.isfinite(squares)):
        raise Implausible(f"{what}: expected finite sums, got {total} and {squares}", "counts")
    # Divided, not multiplied: squares of sums near the largest double would be infinite.
    mean, mean_square = (total / count, squares / count) if count else (total, squares)
    slack = 1 + ROUNDING
    if not count and (total or squares):
        raise Implausible(
            f"{what}: expected sums of 0 of no numbers, got {total:g}, {squares:g}", "counts"
        )
    if abs(mean) > most * slack or mean_square > most * most * slack:
        raise Implausible(
            f"{what}: expected numbers within {most:g} of 0, got a mean of {mean:g} and a mean "
            f"square of {mean_square:g}",
            "counts",
        )
    if mean_square * slack < mean * mean * (1 - ROUNDING) - 1e-300:
        raise Implausible(
            f"{what}: a sum of squares of {squares:g} is less than {count:g} numbers with the sum "
            f"{total:g} have at least ({mean * mean * count:g})",
            "counts",
        )
