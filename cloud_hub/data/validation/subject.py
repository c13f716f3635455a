"""Rows that are checked, with what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cloud_hub.data.columns import ColumnKind, array_of
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.row_hashes import Hashes, RowScan, scanned
from cloud_hub.data.statistics import ColumnStatistics, DatasetStatistics, statistics
from cloud_hub.deferred.libraries import pa
from cloud_hub.policy.schema.validation import ValidationPolicy
from edge_sdk.contract.profile import FeatureProfile


@dataclass(frozen=True)
class FleetColumn:
    """What the fleet counted of one feature.

    Attributes:
        feature: with its bins.
        counts: of the fleet in these bins, then *missing* and *outside*.
    """

    feature: FeatureProfile
    counts: tuple[int, ...]


@dataclass(frozen=True)
class DataReference:
    """A version before: its name, its statistics, and the column of its labels."""

    name: str
    statistics: DatasetStatistics
    label: str | None = None


@dataclass(frozen=True)
class ValidatedRows:
    """Everything that checks may ask.

    Attributes:
        data: rows that are checked.
        policy: thresholds.
        expected: kind of each feature that must be there, by name.
        before: the version before, if there is one.
        holdout: rows of the holdout with the same features, if there is one.
        fleet: what devices counted, by feature; empty where nothing was.
        known: statistics of ``data``, if they were made already.
    """

    data: Dataset
    policy: ValidationPolicy = ValidationPolicy()
    expected: Mapping[str, ColumnKind] = field(default_factory=dict)
    before: DataReference | None = None
    holdout: Dataset | None = None
    fleet: Mapping[str, FleetColumn] = field(default_factory=dict)
    known: DatasetStatistics | None = None

    @cached_property
    def scan(self) -> RowScan:
        """Hashes of all rows and columns."""
        return scanned(self.data.features)

    @cached_property
    def statistics(self) -> DatasetStatistics:
        """Statistics of the rows."""
        return self.known if self.known is not None else statistics(self.data, self.scan)

    @cached_property
    def holdout_rows(self) -> Hashes | None:
        """Hashes of the rows of the holdout."""
        if self.holdout is None:
            return None
        return scanned(self.holdout.features.select(list(self.data.names))).rows

    def array(self, name: str) -> pa.Array:
        """Return one column."""
        return array_of(self.data.table, name)

    def compared(self) -> Iterator[tuple[ColumnStatistics, ColumnStatistics]]:
        """Yield each column that both versions have: as it was, as it is."""
        if self.before is None:
            return
        features = set(self.data.names)
        for now in self.statistics.columns:
            was = self.before.statistics.column(now.name)
            if was is not None and now.name in features and was.present and now.present:
                yield was, now
