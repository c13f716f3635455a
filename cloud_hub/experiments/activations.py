"""Devices on which the versions that an experiment tries were activated, or failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from cloud_hub.database.engine import transaction
from cloud_hub.experiments.membership import may_fail

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from cloud_hub.experiments.claims import ExperimentClaims
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.telemetry.service import Telemetry

ByVersion = dict[str, frozenset[str]]
"""Devices by version."""


class Activations:
    """Reader of the events with which devices say what became of a version."""

    def __init__(self, engine: Engine, telemetry: Telemetry, claims: ExperimentClaims) -> None:
        self._engine = engine
        self._telemetry = telemetry
        self._claims = claims

    def activated(self, record: ExperimentRecord, devices: Mapping[str, DeviceRecord]) -> ByVersion:
        """Return the devices that activated a version.

        Args:
            record: of the experiment.
            devices: of the model, by name.
        """
        return self._devices(record, devices, ("activated",), 0)

    def failed(
        self, record: ExperimentRecord, devices: Mapping[str, DeviceRecord], after: int
    ) -> ByVersion:
        """Return the devices that could not activate a version, or took it back.

        Args:
            record: of the experiment.
            devices: of the model, by name.
            after: the newest event that a person acknowledged; 0 for none.
        """
        return self._devices(record, devices, ("failed", "rolled_back"), after)

    def last(self, record: ExperimentRecord) -> int:
        """Return the newest event of an experiment; 0 if there is none."""
        events = self._telemetry.events(record.model, experiment=record.id)
        return max((event.id for event in events), default=0)

    def _devices(
        self,
        record: ExperimentRecord,
        devices: Mapping[str, DeviceRecord],
        outcomes: Collection[str],
        after: int,
    ) -> ByVersion:
        """Devices with such an event: only those that a plan gave that version to try."""
        with transaction(self._engine) as db:
            known = self._claims.published(db, record.model, record.id)
        found: dict[str, set[str]] = defaultdict(set)
        for event in self._telemetry.events(record.model, experiment=record.id):
            if event.outcome in outcomes and event.id > after:
                found[event.version].add(event.device)
        return {
            version: frozenset(
                device
                for device in names
                if device in devices
                and may_fail(version, known, device, devices[device].attributes)
            )
            for version, names in found.items()
        }
