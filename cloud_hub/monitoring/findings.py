"""What one window says, signal by signal; and when that becomes an alarm. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.distances import corrected_psi, ks_distance
from cloud_hub.statistics.domain import (
    DomainShift,
    by_cohort,
    domain_shifts,
    low_confidence,
    outlier_score,
)
from cloud_hub.statistics.drift import FeatureDrift, fleet_drift
from cloud_hub.statistics.fairness import LEAST, Disparity
from cloud_hub.statistics.label_free import estimated_accuracy
from cloud_hub.statistics.output_shift import mean_of_bins, share_changes
from cloud_hub.statistics.seasonal import Usual
from cloud_hub.telemetry.histograms import group_output
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile

Kind = Literal["drift", "domain", "estimate", "concept", "fairness"]
DROP = 0.02
"""Smallest drop of the estimated accuracy that alarms, however sure it is."""

COHORTS = 3
"""How many cohorts a finding names."""


@dataclass(frozen=True)
class Finding:
    """One signal in one window. ``effect`` is its size, in the unit of its kind: of drift the
    larger of KS distance and corrected PSI, else a difference of shares.
    """

    signal: str
    kind: Kind
    alarming: bool
    effect: float
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetWindow:
    """One window of a version over a fleet: ``histograms`` [devices, bins + 2] by name, devices in
    order; ``attributes`` of each device.
    """

    start: int
    end: int
    devices: tuple[str, ...]
    histograms: Mapping[str, NDArray[np.int64]]
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def pooled(self, name: str) -> list[int]:
        """The histogram of all devices."""
        counts: list[int] = self.histograms[name].sum(axis=0).tolist()
        return counts


@dataclass(frozen=True)
class References:
    """What a window is held against: ``training`` always; ``others`` replace it by name (a season,
    or each device's own past); ``usual`` is how large a signal's effect usually is.
    """

    training: ReferenceProfile
    others: Mapping[str, Any] = field(default_factory=dict)
    usual: Mapping[str, Usual] = field(default_factory=dict)


def evaluate(window: FleetWindow, against: References, *, outputs: bool) -> list[Finding]:
    """Every signal that histograms alone give."""
    profile = against.training
    watched = (*profile.features, *profile.outputs) if outputs else profile.features
    return [
        *_drift(window, against, watched),
        *(_drift(window, against, group_outputs(window, profile)) if outputs else ()),
        *_domain(window, profile),
        *_outputs(window, profile),
    ]


def group_outputs(window: FleetWindow, profile: ReferenceProfile) -> list[FeatureProfile]:
    """The outputs of declared groups that are large enough to be compared with their own."""
    found = []
    for group in profile.groups:
        for output, counts in zip(profile.outputs, group.outputs, strict=True):
            name = group_output(group.column, group.group, output.name)
            seen = window.histograms.get(name)
            if seen is not None and min(int(seen.sum()), group.rows) >= LEAST:
                found.append(replace(output, name=name, counts=counts, correct=None))
    return found


def _drift(
    window: FleetWindow, against: References, watched: Sequence[FeatureProfile]
) -> Iterator[Finding]:
    profiles = {feature.name: feature for feature in watched}
    reference = {name: against.others.get(name, f.counts) for name, f in profiles.items()}
    for found in fleet_drift(reference, window.histograms, seed=window.start):
        signal = f"drift:{found.name}"
        usual = against.usual.get(signal)
        alarming = found.drifted and (usual is None or found.effect > usual.limit)
        figures = _drift_figures(found, usual)
        before = np.asarray(reference[found.name]).reshape(-1, profiles[found.name].bins + 2)
        pooled = window.pooled(found.name)
        figures["moved"] = moved(profiles[found.name], before.sum(axis=0).tolist(), pooled)
        if alarming:
            figures["cohorts"] = drifted_cohorts(before.sum(axis=0), window, found.name)
        yield Finding(signal, "drift", alarming, found.effect, figures)


def _drift_figures(found: FeatureDrift, usual: Usual | None) -> dict[str, Any]:
    figures = {
        "n": found.n,
        "p": found.p,
        **{k: round(getattr(found, k), 4) for k in ("ks", "psi", "js", "wasserstein")},
        "significant": found.drifted or found.shifted,
    }
    return figures if usual is None else {**figures, "usual": asdict(usual)}


def moved(
    feature: FeatureProfile, reference: Sequence[int], observed: Sequence[int]
) -> dict[str, Any]:
    """How a feature moved, in its own unit: means of a number, shares of categories."""
    if feature.edges is not None:
        before = mean_of_bins(reference, feature.edges)
        after = mean_of_bins(observed, feature.edges)
        return {"mean_before": _rounded(before), "mean_after": _rounded(after)}
    assert feature.categories is not None
    changes = share_changes(reference, observed, feature.categories)
    largest = sorted(changes, key=lambda name: -abs(changes[name]))[:COHORTS]
    return {"shares_changed": {name: round(changes[name], 4) for name in largest}}


def drifted_cohorts(reference: Any, window: FleetWindow, name: str) -> list[dict[str, Any]]:
    """The cohorts of devices that are farthest from the reference, the worst first."""
    sums: dict[tuple[str, str], Any] = {}
    for device, counts in zip(window.devices, window.histograms[name], strict=True):
        for cohort in window.attributes.get(device, {}).items():
            sums[cohort] = sums.get(cohort, 0) + counts
    found: list[dict[str, Any]] = [
        {
            "attribute": attribute,
            "value": value,
            "n": int(counts.sum()),
            "ks": round(ks_distance(reference, counts), 4),
            "psi": round(corrected_psi(reference, counts), 4),
        }
        for (attribute, value), counts in sums.items()
        if counts.sum()
    ]
    return sorted(found, key=lambda row: -max(row["ks"], row["psi"]))[:COHORTS]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _domain(window: FleetWindow, profile: ReferenceProfile) -> Iterator[Finding]:
    reference = {feature.name: feature.counts for feature in profile.features}
    observed = {name: window.pooled(name) for name in reference}
    for shift in domain_shifts(reference, observed):
        figures = _rates(shift)
        if shift.alarming:
            figures["cohorts"] = _cohorts(shift, reference[shift.name], window)
        name = f"domain:{shift.name}:{shift.kind}"
        yield Finding(name, "domain", shift.alarming, shift.rate - shift.reference, figures)


def _rates(shift: DomainShift) -> dict[str, Any]:
    return {
        "n": shift.n,
        "rate": round(shift.rate, 5),
        "rate_at_training": round(shift.reference, 5),
        "p": shift.p,
    }


def _cohorts(
    shift: DomainShift, reference: Sequence[int], window: FleetWindow
) -> list[dict[str, Any]]:
    """Where it comes from, the worst cohorts of devices first."""
    rows = window.histograms[shift.name].tolist()
    by_device = dict(zip(window.devices, rows, strict=True))
    found = by_cohort(shift, reference, by_device, window.attributes)[:COHORTS]
    return [
        {"attribute": s.cohort[0], "value": s.cohort[1], "alarming": s.alarming, **_rates(s)}
        for s in found
        if s.cohort is not None
    ]


def _outputs(window: FleetWindow, profile: ReferenceProfile) -> Iterator[Finding]:
    """What the answers themselves say, before any label."""
    for output in profile.outputs:
        seen = window.pooled(output.name)
        score = outlier_score(np.asarray(output.counts), np.asarray(seen))
        figures = {
            "score": round(score, 2),
            "note": "about 1 where outputs are as on held-out rows",
        }
        yield Finding(f"outlier:{output.name}", "domain", False, score, figures)
        if output.name != "confidence":
            continue
        unsure = low_confidence(output.counts, seen)
        rise = unsure.rate - unsure.reference
        yield Finding("domain:low confidence", "domain", unsure.alarming, rise, _rates(unsure))
        if output.correct is not None:
            yield from _estimate(output.counts, output.correct, seen)


def _estimate(
    reference: Sequence[int], correct: Sequence[int], seen: Sequence[int]
) -> Iterator[Finding]:
    found = estimated_accuracy(reference, correct, seen)
    if found is not None:
        figures = {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(found).items()}
        drop = found.reference - found.accuracy
        alarming = found.dropped and drop >= DROP
        yield Finding("estimate:accuracy", "estimate", alarming, drop, figures)


def fairness_finding(name: str, found: Disparity) -> Finding:
    """The largest difference of accuracy between groups, by one column or attribute."""
    figures = {"best": found.most, "worst": found.least, **_difference(found)}
    return Finding(f"fairness:{name}", "fairness", found.alarming, found.difference, figures)


def selection_finding(column: str, answer: str, found: Disparity) -> Finding:
    """The largest difference of an answer's shares between groups."""
    figures = {"answer": answer, "most": found.most, "least": found.least, **_difference(found)}
    return Finding(f"selection:{column}", "fairness", found.alarming, found.difference, figures)


def _difference(found: Disparity) -> dict[str, Any]:
    return {
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "groups": [asdict(group) for group in found.groups],
    }


def lengthened(streaks: Mapping[str, int], findings: Sequence[Finding]) -> dict[str, int]:
    """In how many windows in a row each signal was alarming, this one included.

    Windows that do not have a signal are passed over: a small group is not told of in each.
    """
    here = {f.signal for f in findings}
    kept = {signal: count for signal, count in streaks.items() if signal not in here}
    return kept | {f.signal: streaks.get(f.signal, 0) + 1 for f in findings if f.alarming}


def due(
    findings: Sequence[Finding], streaks: Mapping[str, int], in_a_row: Mapping[Kind, int]
) -> list[Finding]:
    """The findings that are alarms: alarming for as many windows in a row as their kind needs."""
    return [
        f for f in findings if f.alarming and streaks.get(f.signal, 0) >= in_a_row.get(f.kind, 1)
    ]
