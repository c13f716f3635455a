"""Windows of a model over all devices: reports and late labels added up, by version and arm."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import RowMapping

from cloud_hub.telemetry.summed_bodies import merged_energy
from cloud_hub.telemetry.tables import ROLLED
from edge_sdk.contract.window import LATENCY_BINS
from edge_sdk.telemetry.resources import worst

COUNTS: Final = ("degraded", "defaulted", "stale")
"""Counts of a window report that add up, by the names that they have in a window too."""

BINS_AN_OCTAVE: Final = 4
"""Latency histograms, as in the contract: bin ``i`` ends at ``2 ** ((i + 1) / 4)`` microseconds."""


@dataclass(frozen=True)
class LatencyQuantiles:
    """Quantiles of latency in microseconds, over all sources of predictions.

    Each is the upper edge of its bin: at most 19% above the true value, never below it. In the last
    bin, which is open, it is the lower edge.
    """

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class VersionWindow:
    """One window of a version on one arm, over all devices; ``start`` in Unix seconds.

    Attributes:
        predictions: number by source; so is ``latency``, a histogram [64] of microseconds.
        errors: number by kind.
        lost: observations that devices dropped, by kind.
        latency_us: quantiles of latency, ``None`` if nothing was timed.
        degraded: predictions for which the cloud was wanted and not reachable.
        defaulted: predictions for entities without stored features, which had the defaults.
        stale: predictions with stored features that were older than declared.
        own_labelled: late labels of the on-device model's own answers; ``labelled`` those of all.
        measured: the model's own numbers whose label came, of a regressor.
        mae: mean absolute error of those, ``None`` without any; ``rmse`` the root of the mean
            squared one.
        resources: largest value of any device.
        energy: sums over devices with a meter, ``None`` without any.
        devices: number of devices that reported, of what is not rolled up yet.
    """

    version: str
    experiment: str | None
    arm: str
    start: int
    predictions: Mapping[str, int]
    errors: Mapping[str, int]
    lost: Mapping[str, int]
    latency: Mapping[str, Sequence[int]]
    latency_us: LatencyQuantiles | None
    degraded: int
    defaulted: int
    stale: int
    labelled: int
    correct: int
    own_labelled: int
    own_correct: int
    measured: int
    mae: float | None
    rmse: float | None
    resources: Mapping[str, float]
    energy: Mapping[str, float] | None
    devices: int


class WindowKey(NamedTuple):
    """Rows with the same key are one window."""

    version: str
    experiment: str | None
    arm: str
    start: int


def _zeros() -> NDArray[np.int64]:
    return np.zeros(LATENCY_BINS, dtype=np.int64)


@dataclass
class _Sums:
    """A window under way."""

    predictions: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    latency: dict[str, NDArray[np.int64]] = field(default_factory=lambda: defaultdict(_zeros))
    labels: Counter[str] = field(default_factory=Counter)
    error_sum: float = 0.0
    error_squares: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    resources: Mapping[str, float] = field(default_factory=dict)
    energy: Mapping[str, float] | None = None
    devices: set[str] = field(default_factory=set)
    more_devices: int = 0


class WindowSums:
    """Adds up rows of ``window_sums``, ``reports`` and ``feedback``, in any order."""

    def __init__(self) -> None:
        self._sums: dict[WindowKey, _Sums] = defaultdict(_Sums)

    def add_report(self, row: RowMapping) -> None:
        """Add a row of ``reports``."""
        sums = self._sums[_key(row)]
        _add_body(sums, row["body"])
        # Rows that were rolled up do not say how many devices they are of.
        if row["device"] != ROLLED:
            sums.devices.add(row["device"])

    def add_sum(self, row: RowMapping) -> None:
        """Add a row of ``window_sums``."""
        key = WindowKey(row["version"], row["experiment"] or None, row["arm"], row["start"])
        sums = self._sums[key]
        _add_body(sums, row["body"])
        _add_labels(sums, row)
        sums.more_devices += row["devices"]

    def add_feedback(self, row: RowMapping) -> None:
        """Add a row of ``feedback``."""
        _add_labels(self._sums[_key(row)], row)

    def windows(self) -> list[VersionWindow]:
        """Return the windows in order of time, version and arm."""
        ordered = sorted(self._sums.items(), key=lambda pair: _order(pair[0]))
        return [_window(key, sums) for key, sums in ordered]


def _add_body(sums: _Sums, body: Mapping[str, Any]) -> None:
    sums.predictions.update(body.get("predictions", {}))
    sums.errors.update(body.get("errors", {}))
    sums.lost.update(body.get("lost", {}))
    for source, counts in body.get("latency", {}).items():
        sums.latency[source] += np.asarray(counts)
    sums.counts.update({name: body.get(name, 0) for name in COUNTS})
    sums.resources = worst([sums.resources, body.get("resources", {})])
    sums.energy = merged_energy([sums.energy, body.get("energy")])


def _add_labels(sums: _Sums, row: RowMapping) -> None:
    for name in ("labelled", "correct", "own_labelled", "own_correct", "measured"):
        sums.labels[name] += row[name]
    sums.error_sum += row["error_sum"]
    sums.error_squares += row["error_squares"]


def _key(row: RowMapping) -> WindowKey:
    return WindowKey(row["version"], row["experiment"], row["arm"], row["start"])


def _order(key: WindowKey) -> tuple[int, str, str]:
    return key.start, key.version, key.arm


def _window(key: WindowKey, sums: _Sums) -> VersionWindow:
    measured = sums.labels["measured"]
    return VersionWindow(
        *key,
        predictions=dict(sums.predictions),
        errors=dict(sums.errors),
        lost=dict(sums.lost),
        latency={source: counts.tolist() for source, counts in sums.latency.items()},
        latency_us=latency_quantiles(sum(sums.latency.values(), _zeros())),
        degraded=sums.counts["degraded"],
        defaulted=sums.counts["defaulted"],
        stale=sums.counts["stale"],
        labelled=sums.labels["labelled"],
        correct=sums.labels["correct"],
        own_labelled=sums.labels["own_labelled"],
        own_correct=sums.labels["own_correct"],
        measured=measured,
        mae=sums.error_sum / measured if measured else None,
        rmse=math.sqrt(sums.error_squares / measured) if measured else None,
        resources=sums.resources,
        energy=sums.energy,
        devices=len(sums.devices) + sums.more_devices,
    )


def latency_quantiles(histogram: NDArray[np.int64]) -> LatencyQuantiles | None:
    """Return the quantiles of a latency histogram [64]; ``None`` if it is empty."""
    below = np.cumsum(histogram)
    if not below[-1]:
        return None
    places = np.searchsorted(below, [share * below[-1] for share in (0.5, 0.95, 0.99)])
    # The last bin has no upper edge.
    ends = np.minimum(places, len(histogram) - 2) + 1
    return LatencyQuantiles(*(2.0 ** (ends / BINS_AN_OCTAVE)).tolist())
