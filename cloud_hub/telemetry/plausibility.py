"""Bounds on what a device can have counted. Pure.

A report is a claim. What no device can do in its window is refused before it is counted anywhere:
more requests than the policy's bound a second, more labels or outcomes than such requests, sums
that no numbers have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from cloud_hub.errors import Implausible
from edge_sdk.contract.experiment_reports import InterleaveReport, Moments, ShadowReport
from edge_sdk.contract.messages import FeedbackReport, Windowed, WindowReport

SLACK_SECONDS: Final = 60.0
"""Added to a window's length: queued requests that are answered at once when it begins."""

ROUNDING: Final = 1e-6
"""Relative; sums of many floats differ by so much from exact ones."""


def check_counts(body: Windowed, most_a_second: float) -> None:
    """Refuse counts that cannot be.

    Args:
        body: report of one window.
        most_a_second: requests that a device of this model may have.

    Raises:
        Implausible: says which count, and how many would be possible.
    """
    most = most_a_second * (body.window.end - body.window.start + SLACK_SECONDS)
    for name, count in _counts(body):
        if count > most:
            raise Implausible(
                f"{name}: {count} in {body.window.end - body.window.start} s; expected at most "
                f"{most:.0f}, as reporting.most_a_second of the policy is {most_a_second:g}"
            )
    for name, moments in _moments(body):
        if moments.total**2 > moments.count * moments.squares * (1 + ROUNDING) + ROUNDING:
            raise Implausible(f"{name}: no {moments.count} numbers have such a sum and squares")


def _counts(body: Windowed) -> Iterator[tuple[str, int]]:
    if isinstance(body, WindowReport):
        yield "predictions", sum(body.predictions.values())
        yield "errors", sum(body.errors.values())
        yield "units", body.units
        yield "observations", body.observations
    elif isinstance(body, FeedbackReport):
        yield "labelled", body.labelled
        yield "rewards", body.rewards
    elif isinstance(body, ShadowReport):
        yield "compared", body.compared
        yield "errors", sum(body.errors.values())
        pairs = body.labelled
        yield "labelled", (pairs.both + pairs.candidate_only + pairs.incumbent_only + pairs.neither)
    elif isinstance(body, InterleaveReport):
        yield "sessions", max(body.sessions, sum(body.wins.values()) + body.ties)


def _moments(body: Windowed) -> Iterator[tuple[str, Moments]]:
    if isinstance(body, FeedbackReport):
        if not math.isfinite(body.reward_sum) or not 0 <= body.reward_squares < math.inf:
            raise Implausible("rewards: expected finite sums")
        yield "rewards", Moments(body.rewards, body.reward_sum, body.reward_squares)
    elif isinstance(body, ShadowReport):
        for name in ("confidence", "value", "latency"):
            moments: Moments = getattr(body, name)
            yield name, moments
