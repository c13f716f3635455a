"""Windows of one version over a fleet, as monitoring asks for them.

The database adds up over devices and windows; bodies, which hold the histograms, are read only of
the windows that are evaluated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Engine, Select, func, select

from cloud_hub.statistics.detectors.concept import Coverage, Labelled
from cloud_hub.statistics.detectors.seasonal import EPOCH_HOURS, HOUR, WEEK_HOURS
from cloud_hub.telemetry.histograms import group_histograms_of, histograms_of, stacked_histograms
from cloud_hub.telemetry.tables import ROLLED, feedback, reports, window_sums
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.telemetry.histograms import HistogramCounts


class Closed(NamedTuple):
    """A window that is over: its ends (Unix seconds), and observations of all devices."""

    start: int
    end: int
    observations: int


class VersionSums(NamedTuple):
    """Histograms of all devices with one version that began then (Unix seconds), in the order of
    its profile's features and outputs.
    """

    version: str
    start: int
    histograms: HistogramCounts


class DeviceErrors(NamedTuple):
    """Errors of one device for its predictions of one window: how many, their sum in the unit of
    the target, and the sum of their squares.
    """

    device: str
    start: int
    measured: int
    total: float
    squares: float


@dataclass(frozen=True)
class StoredFeatureUse:
    """``predictions`` of all devices; those of them for entities whose stored features were
    ``stale``, and those that were ``defaulted``, because their entity had none.
    """

    predictions: int
    stale: int
    defaulted: int


class FleetWindows:
    """Reports about one version, by window."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def closed(self, model: str, version: str, *, after: int, until: float) -> list[Closed]:
        """Return windows that are over and have observations, in order of time.

        Args:
            model: name of the model.
            version: of that model.
            after: windows that began then or later, Unix seconds.
            until: windows that ended by then, Unix seconds.
        """
        r = reports.c
        query = (
            select(r.start, func.max(r.end), func.sum(r.observations))
            .where(r.model == model, r.version == version, r.device != ROLLED)
            .where(r.start >= after, r.end <= until, r.observations > 0)
            .group_by(r.start)
            .order_by(r.start)
        )
        return [Closed(start, end, int(n)) for start, end, n in self._all(query)]

    def stored_features(self, model: str, version: str, *, after: float) -> StoredFeatureUse:
        """Return how fresh the stored features of predictions were.

        Args:
            model: name of the model.
            version: of that model.
            after: windows that began then or later, Unix seconds.
        """
        # Sums of windows: a row for each of them, where a day of a fleet is 288,000 reports.
        s, r = window_sums.c, reports.c
        bodies = [
            select(s.version, s.body).where(s.model == model, s.start >= after),
            # Those of an older hub stand beside the sums, and have an index, without the version.
            select(r.version, r.body).where(r.model == model, r.start >= after, r.summed == 0),
        ]
        used: Counter[str] = Counter()
        for of, body in (row for query in bodies for row in self._all(query)):
            if of != version:
                continue
            used["predictions"] += sum(body.get("predictions", {}).values())
            used.update({name: body.get(name, 0) for name in ("stale", "defaulted")})
        return StoredFeatureUse(used["predictions"], used["stale"], used["defaulted"])

    def by_device(
        self, model: str, version: str, profile: ReferenceProfile, *, start: int, end: int
    ) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
        """Return devices, and their histograms [devices, bins + 2] by name.

        Histograms of groups have names such as ``sex=f:label``.

        Args:
            model: name of the model.
            version: of that model.
            profile: its reference profile.
            start: first moment, Unix seconds.
            end: moment after the last.
        """
        r = reports.c
        # As text: most reports have no groups, and JSON would be parsed to say so.
        texts = (r.body[name].as_string() for name in ("features", "outputs", "groups"))
        query = (
            select(r.device, *texts)
            .where(r.model == model, r.version == version, r.device != ROLLED)
            .where(r.start >= start, r.start < end, r.observations > 0)
            .order_by(r.device)
        )
        rows = self._all(query)
        if not rows:
            return (), {}
        # Rows of a device stand together; most devices have one.
        first = [i for i, row in enumerate(rows) if not i or rows[i - 1].device != row.device]
        devices = tuple(rows[i].device for i in first)
        stacked, sizes = stacked_histograms(
            [(features, outputs) for _, features, outputs, _ in rows]
        )
        sums = np.add.reduceat(stacked, first, axis=0)
        names = [f.name for f in (*profile.features, *profile.outputs)]
        columns = np.split(sums, np.cumsum(sizes)[:-1], axis=1)
        by_name = dict(zip(names, columns, strict=True))
        grouped: dict[str, dict[str, NDArray[np.int64]]] = {}
        outputs = [output.name for output in profile.outputs]
        for device, _, _, text in rows:
            groups = json.loads(text) if text not in (None, "{}") else {}
            for name, counts in group_histograms_of(groups, outputs):
                mine = grouped.setdefault(name, {})
                mine[device] = mine[device] + counts if device in mine else counts
        return devices, by_name | {n: _of_all(devices, mine) for n, mine in grouped.items()}

    def by_version(self, model: str, *, start: int, end: int) -> list[VersionSums]:
        """Return what all devices reported with any version, by window or hour, rolled up or not.

        Args:
            model: name of the model.
            start: first moment, Unix seconds.
            end: moment after the last.
        """
        r = reports.c
        query = (
            select(r.version, r.start, r.body)
            .where(r.model == model, r.start >= start, r.start < end, r.observations > 0)
            .order_by(r.version, r.start)
        )
        sums: dict[tuple[str, int], HistogramCounts] = {}
        for version, at, body in self._all(query):
            histograms = histograms_of(body)
            if (version, at) in sums:
                sums[version, at].add(histograms)
            else:
                sums[version, at] = histograms
        return [VersionSums(version, at, each) for (version, at), each in sums.items()]

    def season(
        self, model: str, version: str, profile: ReferenceProfile, *, at: int, weeks: int
    ) -> list[tuple[float, Mapping[str, NDArray[np.int64]]]]:
        """Return (start, histograms by name) of the same hour in earlier weeks, once rolled up.

        Args:
            model: name of the model.
            version: of that model.
            profile: its reference profile.
            at: start of a window, Unix seconds.
            weeks: how far back.
        """
        r = reports.c
        # The hour of the week in SQL as hour_of_week has it in Python.
        slot = (at // HOUR + EPOCH_HOURS) % WEEK_HOURS
        query = (
            select(r.start, r.body)
            .where(r.model == model, r.version == version, r.device == ROLLED)
            # Not the window itself: it may be rolled up by now.
            .where(r.start >= at - weeks * WEEK_HOURS * HOUR, r.start < at - HOUR)
            .where((r.start // HOUR + EPOCH_HOURS) % WEEK_HOURS == slot, r.observations > 0)
        )
        names = [f.name for f in (*profile.features, *profile.outputs)]
        return [
            (start, dict(zip(names, histograms_of(body), strict=True)))
            for start, body in self._all(query)
        ]

    def coverage(self, model: str, version: str, *, after: int) -> list[Coverage]:
        """Return predictions and labels of each window, over all devices, in order of time.

        Args:
            model: name of the model.
            version: of that model.
            after: windows that began then or later, Unix seconds.
        """
        r, f = reports.c, feedback.c
        made = select(r.start, func.max(r.end), func.sum(r.predictions)).where(
            r.model == model, r.version == version, r.start >= after
        )
        labelled = select(f.start, func.sum(f.own_labelled), func.sum(f.measured)).where(
            f.model == model, f.version == version, f.start >= after
        )
        # A label of a number may say how far off it is, and not whether it is right.
        labels = {s: int(max(n, m)) for s, n, m in self._all(labelled.group_by(f.start))}
        return [
            Coverage(start, end, int(n), labels.get(start, 0))
            for start, end, n in self._all(made.group_by(r.start).order_by(r.start))
        ]

    def labelled(self, model: str, version: str, *, after: int, until: int) -> list[Labelled]:
        """Return late labels by device and window, of windows with ``after <= start < until``.

        They are labels of the on-device model's own answers: a cloud that steps in does not hide a
        model that degrades.

        Args:
            model: name of the model.
            version: of that model.
            after: Unix seconds.
            until: Unix seconds.
        """
        columns = (feedback.c.own_labelled, feedback.c.own_correct)
        rows = self._all(_label_sums(model, version, after, until, columns))
        return [Labelled(d, start, int(n), int(n - right)) for d, start, n, right in rows if n]

    def measured(self, model: str, version: str, *, after: int, until: int) -> list[DeviceErrors]:
        """Return errors of numbers by device and window, with ``after <= start < until``.

        Args:
            model: name of the model.
            version: of that model.
            after: Unix seconds.
            until: Unix seconds.
        """
        f = feedback.c
        columns = (f.measured, f.error_sum, f.error_squares)
        query = _label_sums(model, version, after, until, columns).where(f.measured > 0)
        return [DeviceErrors(d, start, int(n), *sums) for d, start, n, *sums in self._all(query)]

    def _all(self, query: Any) -> list[Any]:
        with self._engine.connect() as db:
            return list(db.execute(query).all())


def _label_sums(
    model: str, version: str, after: int, until: int, columns: Iterable[ColumnElement[Any]]
) -> Select[Any]:
    """Sums of columns of late labels by device and window, with ``after <= start < until``."""
    f = feedback.c
    return (
        select(f.device, f.start, *map(func.sum, columns))
        .where(f.model == model, f.version == version, f.start >= after, f.start < until)
        .group_by(f.device, f.start)
        .order_by(f.start, f.device)
    )


def _of_all(devices: Iterable[str], counts: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Histograms of all ``devices``: zeros of those that reported none."""
    zeros = np.zeros_like(next(iter(counts.values())))
    return np.stack([counts.get(device, zeros) for device in devices])
