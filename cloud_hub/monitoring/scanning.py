"""Findings on who differs: single devices and cohorts that changed, feature by feature. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import hypergeom
from cloud_hub.monitoring.figures import ChangedCohort, ChangedDevice, DevicesFigures
from cloud_hub.monitoring.findings import Finding, FleetWindow
from cloud_hub.statistics.detectors.contrasts import Readings, matters, names, readings
from cloud_hub.statistics.detectors.scan import LEAST, Changes, cohort_changes, device_changes
from cloud_hub.statistics.multiple import discoveries

if TYPE_CHECKING:
    from edge_sdk.contract.profile import FeatureProfile

RATE: Final = 0.05
"""False discovery rate over all devices, cohorts and features of a window."""

SMALLEST: Final = 3
"""Devices of a cohort, and devices outside of it, below which it is not looked at."""

COHORTS: Final = 100
"""Cohorts that are looked at, the largest."""

NAMED: Final = 5
"""Devices and cohorts that a finding names."""

Cohorts = Mapping[tuple[str, str], NDArray[np.bool_]]


def scan(
    newest: Sequence[FleetWindow], past: Sequence[FleetWindow], profiles: Sequence[FeatureProfile]
) -> list[Finding]:
    """Return for each feature which devices and cohorts changed; nothing of a very small fleet.

    Args:
        newest: windows in a row, the very newest last, with attributes of devices. A change is one
            that is in each of them; so this finding is an alarm by itself.
        past: earlier windows that tell how each device usually is, and how much it varies.
        profiles: features and outputs to look at.
    """
    window = newest[-1]
    if len(window.devices) < LEAST or not profiles:
        return []
    cohorts = cohorts_of(window)
    found = [_compared(profile, newest, past, cohorts) for profile in profiles]
    marks = np.hstack(
        [
            _told(found, slice(None, len(window.devices))),
            _told(found, slice(len(window.devices), None)),
        ]
    )
    return [each.finding(mark, window, cohorts) for each, mark in zip(found, marks, strict=True)]


def _told(found: Sequence[_Compared], units: slice) -> NDArray[np.bool_]:
    """Which of some units changed, [features, units]: half of the rate for devices, half for
    cohorts, which are few, so that many devices do not hide them.
    """
    p = np.stack([each.p[units] for each in found])
    # Features of one device depend on each other in any way, and a cohort overlaps with others.
    told = discoveries(p.ravel().tolist(), RATE / 2, any_dependence=True)
    return np.isin(np.arange(p.size), list(told)).reshape(p.shape)


def cohorts_of(window: FleetWindow) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Return which devices [D] are in each cohort: those with one value of an attribute."""
    values: dict[tuple[str, str], list[int]] = {}
    for i, device in enumerate(window.devices):
        for cohort in window.attributes.get(device, {}).items():
            values.setdefault(cohort, []).append(i)
    count = len(window.devices)
    fitting = [c for c, rows in values.items() if SMALLEST <= len(rows) <= count - SMALLEST]
    largest = sorted(fitting, key=lambda cohort: (-len(values[cohort]), cohort))[:COHORTS]
    return {cohort: np.isin(np.arange(count), values[cohort]) for cohort in largest}


@dataclass(frozen=True)
class _Compared:
    """One feature: changes of devices, then of cohorts; p-values over contrasts, [D + cohorts]."""

    profile: FeatureProfile
    devices: Changes
    cohorts: Changes
    large: NDArray[np.bool_]
    p: NDArray[np.float64]

    def finding(
        self, significant: NDArray[np.bool_], window: FleetWindow, cohorts: Cohorts
    ) -> Finding:
        count = len(window.devices)
        changed = significant & self.large
        odd, moved = changed[:count], changed[count:]
        kinds = [
            ChangedCohort(*cohort, int((odd & inside).sum()), int(inside.sum()), float(p))
            for cohort, inside, p in self._cohorts(odd, moved, cohorts)
        ]
        covered: NDArray[np.bool_] = odd.copy()
        for inside, hit in zip(cohorts.values(), moved, strict=True):
            covered = np.logical_or(covered, inside & bool(hit))
        devices = self._devices(odd, window.devices)
        figures = DevicesFigures(
            who=_who(int(odd.sum()), count, kinds),
            changed=int(covered.sum()),
            of=count,
            p=float(self.p.min(initial=1.0)),
            against="their own past" if self.devices.own.any() else "each other",
            devices=devices or None,
            cohorts=tuple(kinds[:NAMED]) or None,
        )
        signal = f"devices:{self.profile.name}"
        return Finding(signal, "devices", bool(changed.any()), figures.changed / count, figures)

    def _devices(self, odd: NDArray[np.bool_], devices: Sequence[str]) -> tuple[ChangedDevice, ...]:
        called = names(self.profile.bins, self.profile.categories)
        worst = sorted(np.flatnonzero(odd).tolist(), key=lambda i: float(self.p[i]))[:NAMED]
        told = []
        for i in worst:
            what = int(self.devices.p[i].argmin())
            before, after = self.devices.before[i, what], self.devices.after[i, what]
            rounded = round(float(before), 4), round(float(after), 4)
            told.append(ChangedDevice(devices[i], called[what], *rounded, float(self.p[i])))
        return tuple(told)

    def _cohorts(
        self, odd: NDArray[np.bool_], moved: NDArray[np.bool_], cohorts: Cohorts
    ) -> list[tuple[tuple[str, str], NDArray[np.bool_], float]]:
        """Cohorts that changed as a whole, and those that most of the odd devices belong to."""
        total, count = len(odd), int(odd.sum())
        together = [
            float(hypergeom.sf(int((odd & m).sum()) - 1, total, count, int(m.sum())))
            for m in cohorts.values()
        ]
        common = discoveries(together, RATE, any_dependence=True) if count else set()
        told = []
        for i, (cohort, inside) in enumerate(cohorts.items()):
            if moved[i]:
                told.append((cohort, inside, float(self.p[total + i])))
            elif i in common:
                told.append((cohort, inside, together[i]))
        return sorted(told, key=lambda each: each[2])


def _who(odd: int, count: int, cohorts: Sequence[ChangedCohort]) -> str:
    parts = [f"{odd} of {count} devices"] if odd or not cohorts else []
    parts += [f"cohort {c.attribute}={c.value}" for c in cohorts[:NAMED]]
    return ", ".join(parts)


def _compared(
    profile: FeatureProfile,
    newest: Sequence[FleetWindow],
    past: Sequence[FleetWindow],
    cohorts: Cohorts,
) -> _Compared:
    window = newest[-1]
    inside = np.stack([*cohorts.values()]) if cohorts else np.zeros((0, len(window.devices)), bool)
    read = [_read(profile, window, each, inside) for each in (*past, *newest)]
    of_devices, of_cohorts = [d for d, _ in read], [c for _, c in read]
    count = len(past)
    devices = device_changes(of_devices[count:], of_devices[:count])
    groups = cohort_changes(of_cohorts[count:], of_cohorts[:count], devices.variance)
    p = np.concatenate([devices.p, groups.p])
    tests = p.shape[1]
    large = np.concatenate([_large(profile, devices, tests), _large(profile, groups, tests)])
    return _Compared(profile, devices, groups, large, np.minimum(1.0, p.min(axis=1) * tests))


def _large(profile: FeatureProfile, changes: Changes, count: int) -> NDArray[np.bool_]:
    """Which units have a change that is large, of a contrast that is significant by itself, [U]."""
    large = matters(changes.before, changes.after, categorical=profile.categories is not None)
    return np.asarray((large & (changes.p * count <= RATE)).any(axis=1))


def _read(
    profile: FeatureProfile, now: FleetWindow, window: FleetWindow, inside: NDArray[np.bool_]
) -> tuple[Readings, Readings]:
    """Readings of the devices of ``now`` in another window, and those of cohorts."""
    histograms = aligned(window, profile.name, now.devices, profile.bins + 2)
    reference = np.asarray(profile.counts, np.float64)
    categorical = profile.categories is not None
    devices = readings(reference, histograms, categorical=categorical)
    sums = inside.astype(np.float64) @ histograms
    own = readings(reference, sums, categorical=categorical)
    rest = readings(reference, histograms.sum(axis=0) - sums, categorical=categorical)
    return devices, Readings(own.values - rest.values, own.noise + rest.noise, own.plain)


def aligned(
    window: FleetWindow, name: str, devices: Sequence[str], size: int
) -> NDArray[np.float64]:
    """Histograms [devices, size] of these devices; zeros of one that is not in the window."""
    counts = np.zeros((len(devices), size))
    rows: Any = window.histograms.get(name)
    if rows is None:
        return counts
    place = {device: i for i, device in enumerate(window.devices)}
    here = [(i, place[device]) for i, device in enumerate(devices) if device in place]
    if here:
        to, of = map(list, zip(*here, strict=True))
        counts[to] = rows[of]
    return counts
