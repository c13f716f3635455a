"""Storing the uploads of many devices in one transaction: what may be stored, and what it changes.

Invariants:

* A message and all that it changes are in one transaction, and it has a name, which is stored once:
  however often and wherever at once it is delivered, it counts once.
* Everything that may refuse a message comes before the first write for it.
* Rows are locked in one order: ledgers, devices, names of messages, sums, news. So does whoever
  forgets a device, and nobody waits for somebody who waits for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cloud_hub.database.bulk import begin_writing, insert_new, insert_rows, rows_by_key
from cloud_hub.database.news import tell
from cloud_hub.errors import Implausible, Invalid
from cloud_hub.telemetry import tables
from cloud_hub.telemetry.groups import GroupAdditions
from cloud_hub.telemetry.intake import rows
from cloud_hub.telemetry.intake.ledger import LedgerKey, Ledgers
from cloud_hub.telemetry.intake.rows import (
    FEEDBACK_COLUMNS,
    REPORT_COLUMNS,
    feedback_row,
    report_row,
)
from cloud_hub.telemetry.personal_reports import check_report, store_report
from cloud_hub.telemetry.sender import read_senders
from cloud_hub.telemetry.sharing_limits import DeviceSharing, SharingLimits, shares
from cloud_hub.telemetry.storing import Stored, rejection
from cloud_hub.telemetry.window_sums import WindowAdditions
from edge_sdk.contract.messages import FeedbackReport, Rejection, Windowed, WindowReport
from edge_sdk.contract.personal.report import PersonalReport

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.intake.opening import OpenedMessages, Received
    from cloud_hub.telemetry.personal_reports import KnownPriors
    from cloud_hub.telemetry.sender import Sender
    from cloud_hub.telemetry.sink import ExposureSink, UploadExposures

NAME: Final = ("device", "boot", "sequence")
MESSAGE_COLUMNS: Final = (*NAME, "kind", "at")
STORES: Final[Mapping[type, Callable[[Connection, str, Any], None]]] = {
    **rows.STORES,
    PersonalReport: store_report,
}
"""How bodies are stored that go one by one."""


@dataclass
class _Tally:
    """What became of one upload so far."""

    accepted: int = 0
    refused: list[Rejection] = field(default_factory=list)
    implausible: list[tuple[str, Implausible]] = field(default_factory=list)

    def stored(self) -> Stored:
        return Stored(self.accepted, tuple(self.refused), tuple(self.implausible))


class _Accepted(NamedTuple):
    """A message that is to be stored, and what it says of an experiment if that counts."""

    device: str
    received: Received
    exposures: UploadExposures | None
    tally: _Tally

    @property
    def name(self) -> tuple[str, str, int]:
        return self.device, *self.received.name


class UploadStore:
    """Stores uploads.

    Args:
        registry: knows the policies.
        exposures: takes what a message says of an experiment, in the same transaction.
        priors: of which devices may report sums over units.
        part: of the sums of windows; no other writer has the same at the same time.
    """

    def __init__(
        self, registry: Registry, exposures: ExposureSink, priors: KnownPriors, *, part: int = 0
    ) -> None:
        self._part = part
        self._registry = registry
        self._exposures = exposures
        self._priors = priors
        self._sharing = SharingLimits()

    def store(self, db: Connection, uploads: Sequence[OpenedMessages]) -> list[Stored]:
        """Store what devices can have made and may share; name what is refused, and why.

        Args:
            db: transaction in which nothing was done yet.
            uploads: messages that make sense by themselves.

        Returns:
            What became of each upload.
        """
        begin_writing(db)
        work = _Transaction(db, self._registry, self._exposures, uploads)
        tallies = [_Tally() for _ in uploads]
        fresh: list[_Accepted] = []
        for upload, tally in zip(uploads, tallies, strict=True):
            for received in work.unknown(upload):
                accepted = self._checked(work, upload.device, received, tally)
                if accepted is None:
                    continue
                if type(received.body) in STORES:
                    # What may be stored of the next one depends on it.
                    self._write(work, [accepted])
                else:
                    fresh.append(accepted)
        self._write(work, fresh)
        work.trials.write()
        work.ledgers.write()
        tell(db, (model for _, model in work.senders), self._part)
        return [tally.stored() for tally in tallies]

    def _checked(
        self, work: _Transaction, device: str, received: Received, tally: _Tally
    ) -> _Accepted | None:
        """Return a message that may be stored; ``None`` if it is refused."""
        body, model = received.body, received.model
        policy, sender = work.policy(model), work.senders[device, model]
        try:
            if shares(body):
                work.sharing(self._sharing, sender).check(body)
            exposures = work.exposures(sender)
            counts = exposures.counts(body)
            check_report(
                work.db,
                body,
                sender,
                self._priors,
                rate=policy.reporting.requests_per_second,
                now=work.now,
            )
            work.ledgers.add(sender, body, policy.reporting)
        except Invalid as error:
            tally.refused.append(rejection(received.message, str(error)))
            tally.implausible += [(model, error)] if isinstance(error, Implausible) else []
            work.forget(device, received)
            return None
        return _Accepted(device, received, exposures if counts else None, tally)

    def _write(self, work: _Transaction, accepted: Sequence[_Accepted]) -> None:
        """Store messages, each unless one with its name is there by now."""
        db = work.db
        names = [(*each.name, each.received.message.kind, work.now) for each in accepted]
        new = insert_new(db, tables.messages, MESSAGE_COLUMNS, names)
        reports, labels = [], []
        groups, windows = GroupAdditions(), WindowAdditions(self._part)
        for each in accepted:
            if each.name not in new:
                continue
            each.tally.accepted += 1
            device, received = each.device, each.received
            body, layout = received.body, received.layout
            if each.exposures is not None:
                each.exposures.record(body)
            if isinstance(body, WindowReport) and received.histograms is not None:
                reports.append(report_row(device, body))
                windows.add_report(device, body, received.histograms)
                if body.groups and layout is not None:
                    groups.add_predictions(body, received.histograms.groups, layout.profile)
            elif isinstance(body, FeedbackReport):
                labels.append(feedback_row(device, body))
                windows.add_labels(body)
                groups.add_labels(body)
            elif type(body) in STORES:
                STORES[type(body)](db, device, body)
        windows.write(db)
        insert_rows(db, tables.reports, REPORT_COLUMNS, reports)
        insert_rows(db, tables.feedback, FEEDBACK_COLUMNS, labels)
        groups.write(db)


class _Transaction:
    """One transaction, and what is read once for all of its uploads.

    Args:
        db: the transaction.
        registry: knows the policies.
        sink: of what messages say of experiments.
        uploads: that it stores.
    """

    def __init__(
        self,
        db: Connection,
        registry: Registry,
        sink: ExposureSink,
        uploads: Sequence[OpenedMessages],
    ) -> None:
        self.db, self.now = db, time.time()
        self._registry = registry
        self._policies: dict[str, Policy] = {}
        self._claims: dict[tuple[str, str], UploadExposures] = {}
        self._shared: dict[tuple[str, str], DeviceSharing] = {}
        each = [(upload.device, received) for upload in uploads for received in upload.received]
        days = (LedgerKey.of(d, r.body) for d, r in each if isinstance(r.body, Windowed))
        self.ledgers = Ledgers(db, days, self.now)
        senders = {(device, received.model) for device, received in each}
        sharing = {(device, received.model) for device, received in each if shares(received.body)}
        self.senders: dict[tuple[str, str], Sender] = read_senders(db, senders, lock=sharing)
        self.trials = sink.begin(db, list(self.senders.values()))
        # Looked at once the rows are locked: another worker may just have stored the same message.
        names = list({(device, *received.name): None for device, received in each})
        self._known = set(rows_by_key(db, tables.messages, NAME, NAME, names))

    def unknown(self, upload: OpenedMessages) -> Iterator[Received]:
        """Yield the messages of an upload that were not stored, nor met in this transaction."""
        for received in upload.received:
            name = (upload.device, *received.name)
            if name not in self._known:
                self._known.add(name)
                yield received

    def forget(self, device: str, received: Received) -> None:
        """Treat a message that was refused as one that did not come: it is refused again."""
        self._known.discard((device, *received.name))

    def policy(self, model: str) -> Policy:
        """Return the policy of a model, as it was when it was first asked for."""
        if model not in self._policies:
            self._policies[model] = self._registry.policy(model)
        return self._policies[model]

    def sharing(self, limits: SharingLimits, sender: Sender) -> DeviceSharing:
        """Return the limits of what a device shares."""
        key = (sender.device, sender.model)
        if key not in self._shared:
            policy = self.policy(sender.model)
            self._shared[key] = DeviceSharing(limits, self.db, sender, policy, self.now)
        return self._shared[key]

    def exposures(self, sender: Sender) -> UploadExposures:
        """Return who judges what a device says of experiments."""
        key = (sender.device, sender.model)
        if key not in self._claims:
            self._claims[key] = self.trials.of(sender)
        return self._claims[key]
