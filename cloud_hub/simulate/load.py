"""Load on the hub of a simulated fleet, with its arithmetic. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloud_hub.simulate.outcome import HubLoad
from cloud_hub.simulate.scenario import Scenario


@dataclass
class LoadMeter:
    """Adds up windows."""

    scenario: Scenario
    polls: list[tuple[float, float]] = field(default_factory=list)
    reports: list[float] = field(default_factory=list)
    bytes_in: list[float] = field(default_factory=list)
    bytes_out: list[float] = field(default_factory=list)
    downloads: int = 0

    def add(self, at: float, online: int, moved: int, told: int, reports: int) -> None:
        """Add one window.

        Args:
            at: its end, seconds after the begin.
            online: devices that reach the hub.
            moved: of those that download a release.
            told: of those that fetch a new plan.
            reports: windows that they report, those of before included.
        """
        sizes, seconds = self.scenario.bytes, self.scenario.window_seconds
        polls = online / self.scenario.poll_seconds
        self.polls.append((at, polls))
        self.reports.append(reports / seconds)
        self.bytes_in.append(reports * sizes.report / seconds)
        fetched = told * sizes.plan + moved * sizes.release
        self.bytes_out.append(polls * sizes.poll + fetched / seconds)
        self.downloads += moved

    def load(self) -> HubLoad:
        """Return the whole."""
        rates = [rate for _, rate in self.polls]
        peak = max(range(len(rates)), key=rates.__getitem__)
        spread = max(self.scenario.jitter * self.scenario.poll_seconds, 1.0)
        return HubLoad(
            polls=sum(rates) / len(rates), polls_peak=rates[peak],
            reports=sum(self.reports) / len(self.reports), reports_peak=max(self.reports),
            bytes_in_peak=max(self.bytes_in), bytes_out_peak=max(self.bytes_out),
            peak_at=self.polls[peak][0], downloads=self.downloads,
            storm=self.scenario.devices / spread,
        )  # fmt: skip


def arithmetic(scenario: Scenario, load: HubLoad) -> tuple[str, ...]:
    """Return how the figures of a load come about, line by line.

    Args:
        scenario: whose load it is.
        load: its figures.
    """
    poll, window, sizes = scenario.poll_seconds, scenario.window_seconds, scenario.bytes
    online = load.polls_peak * poll
    jitter = scenario.jitter * poll
    return (
        f"polls: {online:,.0f} devices online at the peak / {poll:g} s = {load.polls_peak:,.1f}/s; "
        f"mean {load.polls:,.1f}/s",
        f"reports: one a window of {window:g} s and device, late ones when it is back: mean "
        f"{load.reports:,.1f}/s, peak {load.reports_peak:,.1f}/s of {sizes.report:,.0f} B = "
        f"{load.bytes_in_peak / 1e6:,.2f} MB/s in",
        f"out at the peak: polls of {sizes.poll:,.0f} B, plans of {sizes.plan:,.0f} B, "
        f"{load.downloads:,} downloads of {sizes.release / 1e6:,.2f} MB in all: "
        f"{load.bytes_out_peak / 1e6:,.2f} MB/s",
        f"storm: {scenario.devices:,} devices back at once, spread over {jitter:,.0f} s of jitter: "
        f"{load.storm:,.1f} polls/s",
    )
