"""Validation of a version of a dataset against its past, the holdout, the model and the fleet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from cloud_hub.data.columns import ColumnKind
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import fitted
from cloud_hub.data.validation.subject import DataReference, FleetColumn, ValidatedRows
from cloud_hub.data.validation.validate import validate
from cloud_hub.datasets.records import FRESH, HOLDOUT, DatasetRecord, DatasetRef
from cloud_hub.errors import HubFault
from edge_sdk.contract.dtypes import STRING

if TYPE_CHECKING:
    from cloud_hub.data.validation.report import ValidationReport
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.policy.schema.validation import ValidationPolicy
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.manifest import Column
    from edge_sdk.model.release import Release

FLEET_SECONDS: Final = 7 * 86_400.0
"""Age up to which reports of the fleet say what it sees."""


class DatasetValidation:
    """Validates versions of datasets, each with what the hub knows beside it.

    Args:
        datasets: versions before, and the holdout.
        registry: releases that say which columns a model takes.
        telemetry: histograms of the fleet.
    """

    def __init__(self, datasets: Datasets, registry: Registry, telemetry: Telemetry) -> None:
        self._datasets = datasets
        self._registry = registry
        self._telemetry = telemetry

    def validate(
        self,
        record: DatasetRecord,
        policy: ValidationPolicy,
        *,
        version: str | None = None,
        against: str | None = None,
        data: Dataset | None = None,
    ) -> ValidationReport:
        """Make every check.

        Args:
            record: version of a dataset.
            policy: thresholds.
            version: of the model, whose columns are expected and which the fleet counts; ``None``
                where nothing serves.
            against: version of a dataset to compare with, ``NAME@N``; by default the parent, of
                shared rows the newest version before that was trained on.
            data: its rows, if they are open already.

        Raises:
            Conflict: its rows were deleted.
            NotFound: there is no version ``against``.
        """
        data = self._datasets.open(record) if data is None else data
        release = None if version is None else self._registry.release(record.model, version)
        columns = () if release is None else release.manifest.signature.columns
        # Rows for training may have other columns than what serves: there nothing is expected.
        shared = record.name == FRESH and release is not None
        return validate(
            ValidatedRows(
                data,
                policy,
                expected=_expected(columns) if shared else {},
                before=self._before(record, against, data),
                holdout=self._holdout(record, data),
                fleet=self._fleet(release, data, policy) if shared and release is not None else {},
                known=self._datasets.statistics(record),
            )
        )

    def _before(
        self, record: DatasetRecord, against: str | None, data: Dataset
    ) -> DataReference | None:
        ref = against or self._usual_before(record)
        if ref is None:
            return None
        before = self._datasets.get(record.model, ref)
        known = self._datasets.statistics(before)
        if known is None:
            return None
        label = next((c.name for c in before.columns if c.role == "label"), None)
        return DataReference(before.ref, known, label)

    def _usual_before(self, record: DatasetRecord) -> DatasetRef | None:
        """Return the parent; of shared rows the newest version before that was trained on.

        Shared rows that a check has refused are no measure: what stopped one run would pass in the
        next.
        """
        number = record.parent
        if record.name == FRESH:
            uses = self._datasets.uses(record.model).values()
            trained = [DatasetRef.parse(ref) for use in uses for ref in use.get("trained", ())]
            numbers = [ref.number or 0 for ref in trained if ref.name == FRESH]
            number = max((each for each in numbers if each < record.number), default=None)
        return None if number is None else DatasetRef(record.name, number=number)

    def _holdout(self, record: DatasetRecord, data: Dataset) -> Dataset | None:
        """Return the holdout with the features of the rows; ``None`` if it has others."""
        if record.name == HOLDOUT:
            return None
        held = self._datasets.rows(record.model, HOLDOUT)
        try:
            return None if held is None else fitted(held, data.names, record.ref)
        except HubFault:
            return None

    def _fleet(
        self, release: Release, data: Dataset, policy: ValidationPolicy
    ) -> Mapping[str, FleetColumn]:
        """Return what devices counted of each feature while the rows came in, or shortly before."""
        manifest = release.manifest
        times = data.times
        begin = time.time() if times is None or not len(times) else float(times.min())
        counts = self._telemetry.fleet_histograms(
            manifest.model, manifest.version, since=begin - FLEET_SECONDS,
            most=policy.max_device_share,
        )  # fmt: skip
        features = release.profile().features
        return {f.name: FleetColumn(f, tuple(counts[f.name])) for f in features}


def _expected(columns: tuple[Column, ...]) -> Mapping[str, ColumnKind]:
    return {column.name: _kind(column.dtype) for column in columns}


def _kind(dtype: str) -> ColumnKind:
    if dtype == STRING:
        return "text"
    if dtype == "bool":
        return "boolean"
    return "number" if dtype.startswith("float") else "integer"
