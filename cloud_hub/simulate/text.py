"""Simulations as text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloud_hub.text.durations import format_duration

if TYPE_CHECKING:
    from cloud_hub.simulate.outcome import Simulated, SimulatedEvent
    from cloud_hub.simulate.repeat import Repeated


def to_text(all_: Sequence[Repeated]) -> str:
    """Return one simulation whole; of two, both and what differs.

    Args:
        all_: one, or two policies side by side.
    """
    parts = [_one(each) for each in all_]
    if len(all_) > 1:
        parts.append(_side_by_side(all_))
    return "\n\n".join(parts)


def _one(each: Repeated) -> str:
    done = each.first
    lines = [
        f"{each.title}: {done.devices:,} devices of {done.model} for "
        f"{format_duration(done.duration)}, seed {done.seed}",
        f"first experiment: {done.end}",
        *(event_line(event) for event in done.events),
        *_served(done),
        f"requests {done.requests:,.0f}, of which failed (errors and wrong answers) "
        f"{done.failures / max(done.requests, 1):.3%}",
        *_harm(done),
        "load on the hub:",
        *(f"  {line}" for line in done.arithmetic),
        *(f"not simulated: {line}" for line in done.unknown),
    ]
    total = sum(end.count for end in each.ends)
    if total > 1:
        lines.append(f"of {total} simulations, with 95% intervals:")
        lines += [
            f"  {end.share:6.1%} [{end.low:.1%}, {end.high:.1%}] {end.end}" for end in each.ends
        ]
    return "\n".join(lines)


def event_line(event: SimulatedEvent) -> str:
    """Return a line of the timeline."""
    where = f" ({event.where})" if event.where else ""
    at = format_duration(event.at) if event.at else "0 seconds"
    return f"  {at:>22}  {event.what:<9} {event.subject}{where}: {event.reason}"


def _served(done: Simulated) -> list[str]:
    if not done.series:
        return []
    _, last = done.series[-1]
    shown = ", ".join(
        f"{name} on {count:,}" for name, count in zip(done.versions, last, strict=True) if count
    )
    return [f"in the end: {shown}"]


def _harm(done: Simulated) -> list[str]:
    lines = []
    for version, exposed in done.exposed.items():
        most = ", ".join(f"{name} {count:,}" for name, count in exposed.items() if count)
        lines.append(f"{version} served at most, by cohort: {most}")
        harm = done.harm[version]
        if harm.device_hours:
            lines.append(
                f"{version} did harm: {harm.device_hours:,.1f} device-hours where it was worse "
                f"than the margin, {harm.failures:,.0f} failures more than before"
            )
    return lines


def _side_by_side(all_: Sequence[Repeated]) -> str:
    rows = [
        ("", [each.title for each in all_]),
        ("first experiment", [each.first.end for each in all_]),
        ("harm, device-hours", [f"{each.harm.device_hours:,.1f}" for each in all_]),
        ("harm, failures", [f"{each.harm.failures:,.0f}" for each in all_]),
        ("triggers fired", [f"{each.fired:,.1f}" for each in all_]),
        ("peak polls/s", [f"{each.first.load.polls_peak:,.1f}" for each in all_]),
        ("peak MB/s out", [f"{each.first.load.bytes_out_peak / 1e6:,.2f}" for each in all_]),
    ]
    width = max(24, *(len(value) for _, values in rows for value in values)) + 2
    lines = [
        f"{name:<20}" + "".join(f"{value:<{width}}" for value in values) for name, values in rows
    ]
    return "\n".join(["side by side:", *(line.rstrip() for line in lines)])
