"""``scenario.yaml``: a fleet, its versions as they truly are, and what happens when.

Shares, rates and accuracies are between 0 and 1; times are written with a unit (``90s``, ``6h``,
``3d``) and count from the beginning of the simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from cloud_hub.errors import Invalid
from cloud_hub.text.yaml import read_yaml
from edge_sdk.contract.errors import require
from edge_sdk.contract.names import Version, check_name

HOUR: Final = 3_600.0
DAY: Final = 86_400.0
MOST_DEVICES: Final = 1_000_000
MOST_WINDOWS: Final = 20_000
"""Windows that a simulation may have; a month of minutes is 43,200."""

BEGIN: Final = 1_767_571_200.0
"""Where a simulation begins, Unix seconds: Monday 2026-01-05, midnight UTC."""


def _check_share(name: str, value: float, low: float = 0.0) -> None:
    require(low <= value <= 1, f"{name}: expected a share, {low:g} to 1, got {value:g}")


@dataclass(frozen=True)
class DayAndNight:
    """Share of the devices that reach the hub in a window, by day and by night, at their own time.

    ``night_from`` and ``night_to`` are hours of the day; as a night passes midnight, from 22 to 6.
    """

    share: float = 1.0
    night: float | None = None
    night_from: float = 22.0
    night_to: float = 6.0

    def __post_init__(self) -> None:
        _check_share("share", self.share, 0.001)
        _check_share("night", self.at_night)
        for name, hour in (("night_from", self.night_from), ("night_to", self.night_to)):
            require(0 <= hour <= 24, f"{name}: expected an hour, 0 to 24, got {hour:g}")

    @property
    def at_night(self) -> float:
        """The share by night; as by day where nothing else is said."""
        return self.share if self.night is None else self.night

    def at(self, hour: float) -> float:
        """Return the share at an hour of the day."""
        if self.night_from <= self.night_to:
            night = self.night_from <= hour < self.night_to
        else:
            night = hour >= self.night_from or hour < self.night_to
        return self.at_night if night else self.share


@dataclass(frozen=True)
class FleetCohort:
    """Devices alike: ``share`` of the fleet with the same attributes; ``utc_offset`` in hours."""

    name: str
    share: float
    attributes: Mapping[str, str] = field(default_factory=dict)
    utc_offset: float = 0.0
    online: DayAndNight | None = None
    requests: float | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        require(0 < self.share <= 1, f"share: expected above 0, up to 1, got {self.share:g}")
        busy = self.requests is None or self.requests > 0
        require(busy, "requests: expected more than 0 an hour")


@dataclass(frozen=True)
class Shift:
    """Change of a version: from ``at`` on, in full after ``over``, in one cohort or in all.

    ``accuracy`` and ``error_rate`` are what is added, ``latency`` what it is multiplied by. With
    ``every`` it comes and goes, as a season does: a sine of that period, none at ``at``.
    """

    at_seconds: float
    over_seconds: float = 0.0
    cohort: str | None = None
    accuracy: float = 0.0
    error_rate: float = 0.0
    latency: float = 1.0
    every_seconds: float | None = None

    def __post_init__(self) -> None:
        require(self.at_seconds >= 0 and self.over_seconds >= 0, "at, over: expected 0 or more")
        require(self.latency > 0, "latency: expected a factor above 0")
        every = self.every_seconds
        require(every is None or every > 0, "every: expected more than 0")


@dataclass(frozen=True)
class Quality:
    """Truth about a version in one cohort, where it differs from the version's own."""

    accuracy: float | None = None
    error_rate: float | None = None
    latency_us: float | None = None
    install_failures: float | None = None

    def __post_init__(self) -> None:
        for name in ("accuracy", "error_rate", "install_failures"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, f"{name}: expected 0 to 1, got {value}")
        fast = self.latency_us is None or self.latency_us > 0
        require(fast, "latency_us: expected more than 0")


@dataclass(frozen=True)
class SimulatedVersion:
    """Truth about a version: what no gate knows, and has to find out.

    ``released_seconds``: when it is handed to the policy's experiment; left out, it serves from the
    beginning or never. ``install_failures``: share of the devices that cannot activate it.
    """

    version: str
    released_seconds: float | None = None
    accuracy: float = 0.95
    error_rate: float = 0.0005
    latency_us: float = 100.0
    install_failures: float = 0.0
    cohorts: Mapping[str, Quality] = field(default_factory=dict)
    changes: tuple[Shift, ...] = ()

    def __post_init__(self) -> None:
        Version.parse(self.version)
        Quality(self.accuracy, self.error_rate, self.latency_us, self.install_failures)
        at = self.released_seconds
        require(at is None or at >= 0, "released: expected 0 or more")

    def of(self, cohort: str) -> tuple[float, float, float, float]:
        """Return accuracy, error rate, microseconds and share of failed installs in a cohort."""
        own = self.cohorts.get(cohort, Quality())
        accuracy = self.accuracy if own.accuracy is None else own.accuracy
        errors = self.error_rate if own.error_rate is None else own.error_rate
        latency = self.latency_us if own.latency_us is None else own.latency_us
        installs = own.install_failures
        return accuracy, errors, latency, self.install_failures if installs is None else installs


@dataclass(frozen=True)
class Spread:
    """Difference of devices, lasting: coefficients of variation of their requests, of their wrong
    answers and of their errors (gamma distributed about 1), and of time in factors of two.
    """

    requests: float = 0.5
    wrong: float = 0.3
    errors: float = 0.5
    latency: float = 0.3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(0 <= value <= 5, f"{name}: expected 0 to 5, got {value:g}")


@dataclass(frozen=True)
class LateLabels:
    """Labels: the share of the answers that ever get one, and how late on average (exponential)."""

    coverage: float = 0.2
    delay_seconds: float = 0.0

    def __post_init__(self) -> None:
        _check_share("coverage", self.coverage)
        require(self.delay_seconds >= 0, "delay: expected 0 or more")

    def came(self, age: float) -> float:
        """Return the share of a window's labels that came within ``age`` seconds."""
        if age <= 0:
            return 0.0 if self.delay_seconds else 1.0
        return 1.0 if not self.delay_seconds else -math.expm1(-age / self.delay_seconds)


@dataclass(frozen=True)
class Hostile:
    """Devices that lie about the candidate: all of its labels are ``wrong``, or ``right``, and they
    claim ``times`` the requests.
    """

    share: float = 0.0
    says: Literal["wrong", "right"] = "wrong"
    times: float = 1.0

    def __post_init__(self) -> None:
        _check_share("share", self.share)
        require(1 <= self.times <= 1e4, f"times: expected 1 to 10,000, got {self.times:g}")


@dataclass(frozen=True)
class Sizes:
    """Bytes on the wire, of load's arithmetic: a poll answered 304, an upload of a window with its
    labels, the metadata of a new plan, a release.
    """

    poll: float = 600.0
    report: float = 2_500.0
    plan: float = 12_000.0
    release: float = 1_000_000.0


@dataclass(frozen=True)
class Retraining:
    """Run that a trigger starts: how long it takes and how good what comes of it is.

    The new version is what serves without its changes of before the run: it has seen them.
    ``accuracy`` says otherwise; without ``follows`` the candidate is not tried, as the gate refused
    it.
    """

    lasts_seconds: float = HOUR
    accuracy: float | None = None
    follows: bool = True


@dataclass(frozen=True)
class Scenario:
    """Fleet, versions and time of one simulation.

    ``window`` is how often devices report, and how often gates and triggers look; ``poll`` how
    often they ask for news, each a little earlier or later by ``jitter``; ``requests`` are of a
    device in an hour. ``approval``: a person approves what won after this time, or never.
    """

    model: str
    versions: tuple[SimulatedVersion, ...]
    serving: str
    devices: int = 1_000
    duration_seconds: float = 30 * DAY
    window_seconds: float = HOUR
    poll_seconds: float = 600.0
    jitter: float = 0.1
    requests: float = 20.0
    cohorts: tuple[FleetCohort, ...] = (FleetCohort("everybody", 1.0),)
    online: DayAndNight = DayAndNight()
    spread: Spread = Spread()
    labels: LateLabels = LateLabels()
    hostile: Hostile = Hostile()
    retraining: Retraining = Retraining()
    bytes: Sizes = Sizes()
    approval_seconds: float | None = None

    def __post_init__(self) -> None:
        check_name("model", self.model)
        most = f"{MOST_DEVICES:,}"
        fits = 1 <= self.devices <= MOST_DEVICES
        require(fits, f"devices: expected 1 to {most}, got {self.devices:,}")
        require(self.window_seconds >= 1, "window: expected at least 1 s")
        windows = self.duration_seconds / self.window_seconds
        said = f"expected 1 to {MOST_WINDOWS:,} windows of {self.window_seconds:g} s"
        require(1 <= windows <= MOST_WINDOWS, f"duration: {said}, got {windows:,.1f}")
        require(self.poll_seconds >= 1, "poll: expected at least 1 s")
        require(0 <= self.jitter < 1, f"jitter: expected a share below 1, got {self.jitter:g}")
        require(self.requests > 0, "requests: expected more than 0 an hour")
        _check_names(self)

    def version(self, name: str) -> SimulatedVersion | None:
        """Return the truth about a version, if the scenario has it."""
        return next((each for each in self.versions if each.version == name), None)


def _check_names(scenario: Scenario) -> None:
    versions = [each.version for each in scenario.versions]
    require(len(set(versions)) == len(versions), f"versions: expected different ones, {versions}")
    serves = scenario.serving in versions
    require(serves, f"serving: expected one of {versions}, got {scenario.serving}")
    names = [cohort.name for cohort in scenario.cohorts]
    require(bool(names), "cohorts: expected at least one")
    require(len(set(names)) == len(names), f"cohorts: expected different names, got {names}")
    total = sum(cohort.share for cohort in scenario.cohorts)
    require(abs(total - 1) < 1e-6, f"cohorts: expected shares that sum to 1, got {total:g}")
    for version in scenario.versions:
        named = {*version.cohorts, *(c.cohort for c in version.changes if c.cohort)}
        strange = sorted(named - set(names))
        require(not strange, f"versions[{version.version}]: no cohort {strange}; {names}")


def parse_scenario(text: str, name: str = "scenario.yaml") -> Scenario:
    """Read a scenario.

    Args:
        text: YAML.
        name: of the file, for messages.

    Raises:
        Invalid: every mistake with its line, what was expected and what was read.
    """
    if not text.strip():
        raise Invalid(f"{name}: expected model, serving and versions; it is empty")
    return read_yaml(Scenario, text, name)
