"""What the figures mean, in words that claim no more than the intervals do. Pure."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cloud_hub.statistics.blocks import Estimate

Answer = Literal["pays", "does not pay", "undecided"]


@dataclass(frozen=True)
class Gain:
    """How much lower the loss of ``to`` is than that of ``of``, on the same rows."""

    of: str
    to: str
    estimate: Estimate

    def answer(self, worthwhile: float) -> Answer:
        """Does going from one to the other pay?

        It does if the gain is surely above nothing and by its estimate worth it; it does not if it
        is surely below what is worth it; else the rows do not tell.
        """
        found = self.estimate
        if found.low > 0 and found.mean >= worthwhile:
            return "pays"
        return "does not pay" if found.high < worthwhile else "undecided"

    def text(self) -> str:
        """With its interval."""
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
    kept = rarest = gains[0].of
    last: Gain | None = None
    while better := [g for g in gains if g.of == kept and g.answer(worthwhile) == "pays"]:
        last, kept = better[0], better[0].to
    open_ones = [g for g in gains if g.of == kept and g.answer(worthwhile) == "undecided"]
    why = f" ({last.text()})" if last else ""
    if open_ones:
        told = "; ".join(gain.text() for gain in open_ones)
        said = f"it cannot be told whether more often pays: {told}"
        return FreshnessVerdict(
            "undecided", kept, f"{said}{_more(open_ones, worthwhile)}; until then: {kept}{why}"
        )
    rest = [gain for gain in gains if gain.of == kept]
    if not rest:
        return FreshnessVerdict("pays", kept, f"retrain {kept}{why}")
    told = "; ".join(gain.text() for gain in rest)
    said = f"do not retrain more often than {kept}{why}: {told}, below {worthwhile:g}"
    return FreshnessVerdict("does not pay" if kept == rarest else "pays", kept, said)


def said_of(begin: float, end: float) -> str:
    """A window in words."""
    days = [datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (begin, end)]
    return f"from {days[0]:%Y-%m-%d %H:%M} to {days[1]:%Y-%m-%d %H:%M}"


def _more(gains: Sequence[Gain], worthwhile: float) -> str:
    """How much more history would shrink the widest interval to what is worth it."""
    widest = max((gain.estimate.high - gain.estimate.low) / 2 for gain in gains)
    if not math.isfinite(widest) or worthwhile <= 0:
        return ""
    factor = (widest / worthwhile) ** 2
    return f"; about {factor:.0f} times as many days would tell" if factor > 1.5 else ""
