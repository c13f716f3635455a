"""What happens to versions of a rare day when it is over. Pure.

A version of the rush serves on only if it *wins* on normal data: surely better on one set of rows,
on none surely worse. What the rows cannot tell, or rows that are not there, keep nothing: the
version before was good on normal days, and nothing shows that this one is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from cloud_hub.runs.gate import Check
    from cloud_hub.rush.store import RushMark

COMPARED: Final = ("fresh", "forgetting")
"""Checks of the gate that compare both versions on all rows of a set."""

ROWS: Final = {"fresh": "shared rows of normal days", "forgetting": "the holdout"}


@dataclass(frozen=True)
class Trial:
    """An experiment that runs: its id, and the versions that it tries."""

    id: str
    versions: frozenset[str]


@dataclass(frozen=True)
class NextStep:
    """One step: ``stop`` the experiment that tries a version of the rush; ``wait`` for one that
    does not; ``compare`` the version of the rush that serves; ``close`` the marks of those that do
    not serve; or nothing (``rest``). ``marks`` are those that it is about.
    """

    step: Literal["rest", "stop", "wait", "compare", "close"]
    marks: tuple[RushMark, ...] = ()


def next_step(
    marks: Sequence[RushMark],
    *,
    serving: str,
    trial: Trial | None,
    open_days: Collection[str],
    busy: bool,
    now: float,
) -> NextStep:
    """Return the next step of a model.

    Args:
        marks: of versions about which nothing is decided.
        serving: the version that serves.
        trial: the experiment that runs, if one does.
        open_days: names of days that are open now, as the calendar has them.
        busy: a run is about to publish, or has published, one of them.
        now: Unix seconds.
    """
    # The calendar may have been changed on the day itself: it is over when both say so.
    over = tuple(mark for mark in marks if mark.end <= now and mark.day not in open_days)
    tried = tuple(mark for mark in over if trial is not None and mark.version in trial.versions)
    if tried:
        return NextStep("stop", tried)
    served = tuple(mark for mark in over if mark.version == serving)
    if served:
        # An experiment of somebody's, against this version: going back would end it.
        return NextStep("wait" if trial is not None else "compare", served)
    if busy or not over:
        return NextStep("rest")
    return NextStep("close", over)


def wins(checks: Sequence[Check]) -> tuple[bool, str]:
    """Say whether a version of the rush wins the comparison on normal data, and why (not).

    Args:
        checks: of the gate, with it as the candidate, the version before it as the incumbent, and
            no loss allowed.
    """
    worse = [c.check for c in checks if c.verdict == "worse" or (not c.ok and c.check == "columns")]
    if worse:
        return False, f"it is surely worse on {', '.join(ROWS.get(name, name) for name in worse)}"
    better = [ROWS[c.check] for c in checks if c.check in COMPARED and c.verdict == "passed"]
    if better:
        return True, f"it is surely better on {' and '.join(better)}, and surely worse on nothing"
    compared = [c for c in checks if c.check in COMPARED and c.verdict]
    if not compared:
        return False, "there are too few normal rows to compare on: no holdout, none shared"
    rows = ", ".join(f"{c.rows:,} rows of {ROWS[c.check]}" for c in compared)
    return False, f"{rows} do not show that it is better"
