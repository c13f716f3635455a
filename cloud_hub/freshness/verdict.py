"""Verdict on the schedules, in words that claim no more than the intervals do. Pure."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cloud_hub.statistics.detectors.blocks import Estimate

Answer = Literal["pays", "does not pay", "undecided"]


@dataclass(frozen=True)
class Gain:
    """Gain of the schedule ``to`` over ``of``: how much lower its loss is, on the same rows."""

    of: str
    to: str
    estimate: Estimate

    def answer(self, worthwhile: float) -> Answer:
        """Return whether going from one to the other pays.

        It does if the gain is surely above nothing and by its estimate worth it; it does not if it
        is surely below what is worth it; else the rows do not tell.
        """
        estimate = self.estimate
        if estimate.low > 0 and estimate.mean >= worthwhile:
            return "pays"
        return "does not pay" if estimate.high < worthwhile else "undecided"

    def text(self) -> str:
        """Return the gain with its interval, for people."""
        low, high = self.estimate.low, self.estimate.high
        if not math.isfinite(low):
            return f"{self.to} against {self.of}: {self.estimate.mean:+.4f} (too few days to say)"
        return f"{self.to} against {self.of}: {self.estimate.mean:+.4f} ({low:+.4f} to {high:+.4f})"


@dataclass(frozen=True)
class FreshnessVerdict:
    """``answer`` is whether any more frequent schedule pays; ``schedule`` the one to keep."""

    answer: Answer
    schedule: str
    text: str


def conclude(gains: Sequence[Gain], worthwhile: float) -> FreshnessVerdict:
    """Go from the rarest schedule to the next that surely pays, and on from there.

    Args:
        gains: of every schedule over every rarer one; the rarest first.
        worthwhile: smallest gain that pays for training more often.
    """
    schedule = rarest = gains[0].of
    last: Gain | None = None
    while better := [g for g in gains if g.of == schedule and g.answer(worthwhile) == "pays"]:
        last, schedule = better[0], better[0].to
    open_ones = [g for g in gains if g.of == schedule and g.answer(worthwhile) == "undecided"]
    why = f" ({last.text()})" if last else ""
    if open_ones:
        gains_shown = "; ".join(gain.text() for gain in open_ones)
        text = f"the rows do not show whether more often pays: {gains_shown}"
        return FreshnessVerdict(
            "undecided",
            schedule,
            f"{text}{_more(open_ones, worthwhile)}; until then: {schedule}{why}",
        )
    rest = [gain for gain in gains if gain.of == schedule]
    if not rest:
        return FreshnessVerdict("pays", schedule, f"retrain {schedule}{why}")
    gains_shown = "; ".join(gain.text() for gain in rest)
    text = f"do not retrain more often than {schedule}{why}: {gains_shown}, below {worthwhile:g}"
    return FreshnessVerdict("does not pay" if schedule == rarest else "pays", schedule, text)


def format_window(begin: float, end: float) -> str:
    """Return a window in words."""
    days = [datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (begin, end)]
    return f"from {days[0]:%Y-%m-%d %H:%M} to {days[1]:%Y-%m-%d %H:%M}"


def _more(gains: Sequence[Gain], worthwhile: float) -> str:
    """History that would shrink the widest interval to what is worth it, for people."""
    widest = max((gain.estimate.high - gain.estimate.low) / 2 for gain in gains)
    if not math.isfinite(widest) or worthwhile <= 0:
        return ""
    # Intervals shrink with the square root of the days.
    factor = (widest / worthwhile) ** 2
    return f"; about {factor:.0f} times as many days would tell" if factor > 1.5 else ""
