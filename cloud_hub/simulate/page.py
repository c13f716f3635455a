"""Simulations as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.text.durations import format_duration
from cloud_hub.web.charts import EventMark, Line, chart
from cloud_hub.web.pages import page_template

if TYPE_CHECKING:
    from cloud_hub.simulate.outcome import Simulated
    from cloud_hub.simulate.repeat import Repeated

MOST_POINTS: Final = 720
"""Points of a line; more cannot be seen."""

MARKED: Final = ("passed", "aborted", "paused", "promoted", "concluded", "fired")


def to_html(all_: Sequence[Repeated]) -> str:
    """Render one simulation, or two side by side.

    Args:
        all_: what was simulated.
    """
    shown = [(each, _versions_chart(each.first), _polls_chart(each.first)) for each in all_]
    return str(_template().render(all=shown, first=all_[0].first, several=len(all_) > 1))


@functools.cache
def _template() -> Any:
    return page_template("cloud_hub.simulate", "simulation.html", duration=_duration)


def _duration(seconds: float) -> str:
    return format_duration(seconds) if seconds else "0"


def _versions_chart(done: Simulated) -> str:
    every = max(1, len(done.series) // MOST_POINTS)
    series = [*done.series[::every], done.series[-1]]
    lines = [
        Line(escape(name), [(at, counts[i]) for at, counts in series])
        for i, name in enumerate(done.versions)
        if any(counts[i] for _, counts in series)
    ]
    return chart(lines, marks=_marks(done), limits=(0.0, 1.05 * done.devices))


def _polls_chart(done: Simulated) -> str:
    every = max(1, len(done.polls) // MOST_POINTS)
    points = [*done.polls[::every], done.polls[-1]]
    top = 1.1 * max(rate for _, rate in points)
    return chart([Line("polls a second", points)], limits=(0.0, max(top, 1e-6)))


def _marks(done: Simulated) -> list[EventMark]:
    return [EventMark(e.at, escape(e.what)) for e in done.events if e.what in MARKED]
