"""Taking messages in: exactly once, whole or not at all, refused one by one with a reason."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine, select

from cloud_hub.database.engine import is_sqlite
from cloud_hub.telemetry import tables
from cloud_hub.telemetry.intake.opening import OpenedMessages, Opener
from cloud_hub.telemetry.intake.upload_store import UploadStore
from cloud_hub.telemetry.intake.writer import UploadWriter
from edge_sdk.contract.messages import Upload, UploadReply

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.errors import FlagKind, Implausible
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.personal_reports import KnownPriors
    from cloud_hub.telemetry.sink import ExposureSink, FlagSink
    from cloud_hub.telemetry.storing import Stored

WRITERS: Final = 2
"""Transactions at once where the database takes several: one waits for the disk, one works."""


class Ingest:
    """Takes uploads of devices.

    Args:
        engine: of the database.
        registry: knows the releases that devices report about.
        exposures: takes what a message says of an experiment, in the same transaction.
        flag: is told of devices that claim what cannot be.
        priors: of which devices may report sums over units.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        exposures: ExposureSink,
        flag: FlagSink,
        priors: KnownPriors,
    ) -> None:
        self._engine = engine
        self._flag = flag
        self._opener = Opener(registry)
        # SQLite has one writer. Elsewhere others have their own parts, in other processes too.
        parts = [0] if is_sqlite(engine) else [1 + secrets.randbits(31) for _ in range(WRITERS)]
        stores = [UploadStore(registry, exposures, priors, part=part).store for part in parts]
        self._writer = UploadWriter(engine, stores)

    def take(self, device: EnrolledDevice, upload: Upload) -> UploadReply:
        """Take every message of ``upload`` that is new and makes sense.

        Args:
            device: who sent it, as its credential says.
            upload: messages in the order in which the device made them.

        Raises:
            Unavailable: too much waits, or the database cannot be used; nothing of it is stored.
        """
        opened = self._opened(device, upload)
        stored = self._writer.put(opened)
        self._raise_flags(device.device, (*opened.implausible, *stored.implausible))
        return _reply(upload, opened, stored)

    async def take_async(self, device: EnrolledDevice, upload: Upload, size: int) -> UploadReply:
        """As :meth:`take`, in an event loop.

        Args:
            device: who sent it.
            upload: its messages, few enough that opening them keeps no other request waiting.
            size: bytes as which they came.
        """
        opened = self._opener.open_all(device, upload)
        if opened.refused:
            opened = await asyncio.to_thread(self._without_known, opened)
        stored = await self._writer.put_async(opened, size)
        if implausible := (*opened.implausible, *stored.implausible):
            await asyncio.to_thread(self._raise_flags, device.device, implausible)
        return _reply(upload, opened, stored)

    def problem(self) -> str:
        """Return why the newest uploads were not stored; empty if they were."""
        return self._writer.problem

    def stop(self) -> None:
        """Store what waits, and take no more."""
        self._writer.stop()

    def _opened(self, device: EnrolledDevice, upload: Upload) -> OpenedMessages:
        return self._without_known(self._opener.open_all(device, upload))

    def _without_known(self, opened: OpenedMessages) -> OpenedMessages:
        """Take out of what is refused the messages that were stored before: those count."""
        if not opened.refused:
            return opened
        t = tables.messages.c
        boots = {refused.boot for refused in opened.refused}
        sequences = [refused.sequence for refused in opened.refused]
        query = select(t.boot, t.sequence).where(
            t.device == opened.device, t.boot.in_(boots), t.sequence.in_(sequences)
        )
        with self._engine.connect() as db:
            known = {(boot, sequence) for boot, sequence in db.execute(query)}
        refused = tuple(r for r in opened.refused if (r.boot, r.sequence) not in known)
        return opened._replace(refused=refused)

    def _raise_flags(self, device: str, implausible: Sequence[tuple[str, Implausible]]) -> None:
        by_model: dict[str, dict[FlagKind, list[str]]] = defaultdict(lambda: defaultdict(list))
        for model, error in implausible:
            by_model[model][error.kind].append(str(error))
        for model, reasons in by_model.items():
            self._flag(device, model, reasons, time.time())


def _reply(upload: Upload, opened: OpenedMessages, stored: Stored) -> UploadReply:
    rejected = (*opened.refused, *stored.refused)
    duplicates = len(upload.messages) - stored.accepted - len(rejected)
    return UploadReply(stored.accepted, duplicates, rejected)
