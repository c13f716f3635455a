"""Outcome of a simulation: what was decided, who served what, what harm was done, which load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SimulatedEvent:
    """One thing that happened, ``at`` seconds after the begin.

    ``what``: ``started``, ``passed``, ``aborted``, ``paused``, ``dropped``, ``concluded``,
    ``waiting``, ``promoted`` of an experiment, ``fired`` of a trigger, ``run`` and ``released`` of
    what comes of it. ``subject`` is the experiment, rule or version; ``where`` the step.
    """

    at: float
    what: str
    subject: str
    where: str
    reason: str


@dataclass(frozen=True)
class VersionHarm:
    """Harm that a version did where it was worse than what it replaced by more than the policy
    allows: device-hours on it there, and failures (errors and wrong answers) beyond the other's.
    """

    device_hours: float
    failures: float


@dataclass(frozen=True)
class HubLoad:
    """Load on the hub: mean and peak over windows, and where the peak was.

    ``polls`` and ``reports`` are a second, ``bytes_out`` and ``bytes_in`` too; ``storm`` is polls a
    second if the whole fleet came back at once and spread its polls by the jitter alone.
    """

    polls: float
    polls_peak: float
    reports: float
    reports_peak: float
    bytes_in_peak: float
    bytes_out_peak: float
    peak_at: float
    downloads: int
    storm: float


@dataclass(frozen=True)
class Simulated:
    """One simulation, whole.

    ``series`` are (seconds after the begin, devices on each version, in the order of ``versions``)
    window by window; ``polls`` (seconds, polls a second). ``failures`` and ``requests`` are of the
    whole fleet, as they truly were. ``end`` tells what became of the first experiment and in which
    step, or ``no experiment``. ``unknown`` says what was not simulated and why.
    """

    model: str
    devices: int
    duration: float
    seed: int
    serving: str
    end: str
    events: tuple[SimulatedEvent, ...]
    versions: tuple[str, ...]
    series: tuple[tuple[float, tuple[int, ...]], ...]
    polls: tuple[tuple[float, float], ...]
    harm: Mapping[str, VersionHarm]
    exposed: Mapping[str, Mapping[str, int]]
    load: HubLoad
    requests: float
    failures: float
    arithmetic: tuple[str, ...] = ()
    unknown: tuple[str, ...] = field(default=())
