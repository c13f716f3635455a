"""Histograms of an earlier day in the bins of the version that serves now. Pure.

A year ago another version served, and its bins were others. Counts of a number are spread evenly
over the bin that they were in, and counted again in the new bins: a distribution function is off by
at most the share of one bin. Categories keep their names. What was out of range then stays so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.detectors.seasonal import HOUR
from cloud_hub.telemetry.fleet_windows import VersionSums
from edge_sdk.contract.histograms import MISSING, OUTSIDE
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile


def counts(
    sums: Sequence[VersionSums],
    profiles: Mapping[str, ReferenceProfile],
    now: ReferenceProfile,
    *,
    least: int,
    at: float | None,
) -> dict[str, NDArray[Any]] | None:
    """Return the histograms [bins + 2] of a day by name; ``None`` if too few rows are known.

    Args:
        sums: what devices reported on that day.
        profiles: of the versions that served then.
        now: of the version that serves now.
        least: rows that every feature needs.
        at: only the hour of this moment (Unix seconds), if it has enough rows.
    """
    if at is not None:
        hour = [each for each in sums if each.start // HOUR == at // HOUR]
        found = counts(hour, profiles, now, least=least, at=None)
        if found is not None:
            return found
    then = {version: (*p.features, *p.outputs) for version, p in profiles.items()}
    totals: dict[tuple[str, str], NDArray[np.float64]] = {}
    for each in sums:
        for feature, histogram in zip(then[each.version], each.histograms, strict=True):
            key = (each.version, feature.name)
            totals[key] = totals.get(key, np.zeros(feature.bins + 2)) + histogram
    result: dict[str, NDArray[Any]] = {}
    for feature in (*now.features, *now.outputs):
        total = np.zeros(feature.bins + 2)
        for version, features in then.items():
            total += sum(
                rebinned(totals[version, each.name], each, feature)
                for each in features
                if each.name == feature.name and (version, each.name) in totals
            )
        if total.sum() >= least:
            result[feature.name] = np.rint(total).astype(np.int64)
    # A feature that is new since then has no last day: all of them have it, or none is compared.
    return result if all(feature.name in result for feature in now.features) else None


def rebinned(
    histogram: NDArray[Any], then: FeatureProfile, now: FeatureProfile
) -> NDArray[np.float64]:
    """Return a histogram [bins + 2] in other bins; zeros if one is of numbers and the other not.

    Args:
        histogram: in the bins of ``then``.
        then: with the edges or categories that it was counted in.
        now: with those that are asked for.
    """
    result = np.zeros(now.bins + 2)
    counted = np.asarray(histogram, np.float64)
    if (then.edges, then.categories) == (now.edges, now.categories):
        return counted
    if (then.edges is None) != (now.edges is None):
        return result
    result[MISSING], result[OUTSIDE] = counted[MISSING], counted[OUTSIDE]
    if now.categories is not None:
        assert then.categories is not None
        place = {name: i for i, name in enumerate(now.categories)}
        for name, count in zip(then.categories, counted[:MISSING], strict=True):
            result[place.get(name, OUTSIDE)] += count
        return result
    assert then.edges is not None
    assert now.edges is not None
    inside, outside = _spread(counted[:MISSING], then.edges, now.edges)
    result[:MISSING] += inside
    result[OUTSIDE] += outside
    return result


def _spread(
    counted: NDArray[np.float64], then: Sequence[float], now: Sequence[float]
) -> tuple[NDArray[np.float64], float]:
    """Counts [bins] in the bins between ``now``'s edges, and how many are beyond them."""
    if len(then) == 1:  # a constant: all of it is in one place
        place = float(then[0])
        if len(now) == 1:
            inside = np.array([counted.sum() if place == now[0] else 0.0])
        else:
            index = min(int(np.searchsorted(now, place, side="right")) - 1, len(now) - 2)
            fits = now[0] <= place <= now[-1]
            inside = np.zeros(len(now) - 1)
            inside[max(0, index)] = counted.sum() if fits else 0.0
        return inside, float(counted.sum() - inside.sum())
    if len(now) == 1:  # spread over a range, none of it is at one point
        return np.zeros(1), float(counted.sum())
    cumulative = np.concatenate([[0.0], np.cumsum(counted)])
    at = np.interp(now, then, cumulative)
    inside = np.diff(at)
    return inside, float(counted.sum() - inside.sum())
