"""Taking messages in: exactly once, whole or not at all, refused one by one with a reason."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, insert, select

from cloud_hub.database.engine import insert_if_new
from cloud_hub.errors import FlagKind, Implausible, Invalid, NotFound
from cloud_hub.telemetry import groups, tables
from cloud_hub.telemetry.histograms import ReportHistograms
from cloud_hub.telemetry.ledger import DeviceLedger
from cloud_hub.telemetry.personal_reports import check_report, store_report
from cloud_hub.telemetry.ranking_rows import store_rankings
from cloud_hub.telemetry.sample_check import check_samples, check_tensors
from cloud_hub.telemetry.sender import read_sender
from cloud_hub.telemetry.sharing_limits import DeviceSharing, SharingLimits, shares, size_of
from cloud_hub.telemetry.storing import Stored, rejection, store_each
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import CLOCK_SKEW_SECONDS
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    KeyVotes,
    Message,
    Rejection,
    SampleBatch,
    TensorSample,
    UpdateEvent,
    Upload,
    UploadReply,
    Windowed,
    WindowReport,
)
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.personal.report import PersonalReport

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.personal_reports import KnownPriors
    from cloud_hub.telemetry.sink import ExposureSink, FlagSink, UploadExposures
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.contract.profile import ReferenceProfile
    from edge_sdk.contract.window import Window

LONGEST_WINDOW: Final = 7 * 86_400
"""Seconds."""


class _ReleaseLayout(NamedTuple):
    """Layout that messages about one release are checked against."""

    manifest: Manifest
    profile_digest: str
    profile: ReferenceProfile


class _Received(NamedTuple):
    """A message that makes sense; ``histograms`` of a window report, decoded."""

    message: Message
    body: Body
    model: str
    histograms: ReportHistograms | None = None


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
        self._registry = registry
        self._exposures = exposures
        self._flag = flag
        self._priors = priors
        self._sharing = SharingLimits()
        self._layouts: dict[tuple[str, str], _ReleaseLayout] = {}

    def take(self, device: EnrolledDevice, upload: Upload) -> UploadReply:
        """Take every message of ``upload`` that is new and makes sense; of each model in one
        transaction.

        Args:
            device: who sent it, as its credential says.
            upload: messages in the order in which the device made them.
        """
        stored = self._stored(device.device, upload)
        fresh: dict[str, list[_Received]] = defaultdict(list)
        rejected: list[Rejection] = []
        # Checked outside of the transaction: decoding takes time, and SQLite has one writer.
        for message in upload.messages:
            if (message.boot, message.sequence) in stored:
                continue
            try:
                received = self._open(device, message)
                fresh[received.model].append(received)
            except (ContractError, Invalid) as error:
                rejected.append(rejection(message, str(error)))
        accepted = 0
        for model, messages in fresh.items():
            stored_now = self._store_model(device.device, model, messages)
            accepted += stored_now.accepted
            rejected += stored_now.refused
        duplicates = len(upload.messages) - accepted - len(rejected)
        return UploadReply(accepted, duplicates, tuple(rejected))

    def _store_model(self, device: str, model: str, fresh: Sequence[_Received]) -> Stored:
        """Store the messages that speak of one model, and flag the device for what cannot be."""
        stored = store_each(
            self._engine, fresh, lambda db, some: self._store_all(db, device, model, some),
            message_of=lambda each: each.message,
        )  # fmt: skip
        self._raise_flags(device, model, stored.implausible)
        return stored

    def _store_all(
        self, db: Connection, device: str, model: str, fresh: Sequence[_Received]
    ) -> Stored:
        """Store what the device can have made and may share; name what is refused, and why.

        Args:
            db: transaction of the upload.
            device: sender.
            model: that they speak of.
            fresh: messages that make sense by themselves.
        """
        policy = self._registry.policy(model)
        bodies = [received.body for received in fresh]
        # Locked in this order, as whoever forgets a device deletes: ledgers, device, messages.
        ledger = DeviceLedger(db, device, model, policy.reporting, bodies)
        sender = read_sender(db, device, model, lock=any(map(shares, bodies)))
        sharing = DeviceSharing(self._sharing, db, sender, policy, time.time())
        exposures = self._exposures.begin(db, sender)
        accepted = 0
        refused: list[Rejection] = []
        implausible: list[Implausible] = []
        for received in fresh:
            # Everything that may refuse it comes before the first write.
            try:
                sharing.check(received.body)
                counts = exposures.counts(received.body)
                check_report(
                    db,
                    received.body,
                    sender,
                    self._priors,
                    rate=policy.reporting.requests_per_second,
                    now=time.time(),
                )
                ledger.add(received.body, enrolled_at=sender.enrolled_at)
            except Invalid as error:
                refused.append(rejection(received.message, str(error)))
                implausible += [error] if isinstance(error, Implausible) else []
                continue
            accepted += self._store(db, device, received, exposures if counts else None)
        ledger.write()
        return Stored(accepted, tuple(refused), tuple(implausible))

    def _raise_flags(self, device: str, model: str, errors: Sequence[Implausible]) -> None:
        reasons: dict[FlagKind, list[str]] = defaultdict(list)
        for error in errors:
            reasons[error.kind].append(str(error))
        if reasons:
            self._flag(device, model, reasons, time.time())

    def _store(
        self, db: Connection, device: str, received: _Received, exposures: UploadExposures | None
    ) -> bool:
        body = received.body
        if not _store_message(db, device, received.message, body):
            return False
        if exposures is not None:
            exposures.record(body)
        if isinstance(body, WindowReport) and received.histograms is not None:
            profile = self._layout_of(body.window).profile
            groups.add_predictions(db, body, received.histograms.groups, profile)
        elif isinstance(body, FeedbackReport) and body.groups:
            groups.add_labels(db, body)
        return True

    def _stored(self, device: str, upload: Upload) -> set[tuple[str, int]]:
        """Names of the messages that were taken before."""
        t = tables.messages.c
        boots = {message.boot for message in upload.messages}
        sequences = [message.sequence for message in upload.messages]
        query = select(t.boot, t.sequence).where(
            t.device == device, t.boot.in_(boots), t.sequence.in_(sequences)
        )
        with self._engine.connect() as db:
            return {(boot, sequence) for boot, sequence in db.execute(query)}

    def _open(self, device: EnrolledDevice, message: Message) -> _Received:
        """Refuse what cannot be: a model of others, an unknown version, the future, other bins."""
        body = message.open()
        named = body.window.model if isinstance(body, Windowed) else body.model
        device.check_model(named)
        if isinstance(body, Windowed):
            self._check_window(body.window)
        if isinstance(body, SampleBatch | TensorSample | KeyVotes):
            manifest = self._layout(body.model, body.version).manifest
            if isinstance(body, SampleBatch):
                check_samples(body, manifest)
            elif isinstance(body, TensorSample):
                check_tensors(body, manifest)
        histograms = self._histograms(body) if isinstance(body, WindowReport) else None
        if isinstance(body, WindowReport | FeedbackReport) and body.groups:
            groups.check_groups(body.groups, self._layout_of(body.window).manifest.groups)
        return _Received(message, body, named, histograms)

    def _check_window(self, window: Window) -> None:
        if window.start > time.time() + CLOCK_SKEW_SECONDS:
            raise Invalid(f"window: starts in the future ({window.start}); check the clock")
        length = window.end - window.start
        if window.start % length:
            raise Invalid(
                f"window: expected a start that is a multiple of its {length} s, got "
                f"{window.start}; it would overlap its neighbours"
            )
        if length > LONGEST_WINDOW:
            raise Invalid(f"window: expected at most {LONGEST_WINDOW} s, got {length}")
        self._layout_of(window)  # an unknown version is refused

    def _histograms(self, report: WindowReport) -> ReportHistograms:
        """Decode and check what a report counted."""
        for source, row in report.latency.items():
            made = report.predictions.get(source, 0)
            if sum(row) > made:
                raise Invalid(f"latency: {sum(row)} were timed, but {source} answered {made}")
        layout = self._layout_of(report.window)
        if report.profile != layout.profile_digest:
            raise Invalid(
                f"profile: expected {layout.profile_digest[:12]}…, got {report.profile[:12]}…"
            )
        histograms = ReportHistograms.of(report)
        histograms.check(report, layout.profile)
        return histograms

    def _layout_of(self, window: Window) -> _ReleaseLayout:
        return self._layout(window.model, window.version)

    def _layout(self, model: str, version: str) -> _ReleaseLayout:
        layout = self._layouts.get((model, version))
        if layout is None:
            try:
                release = self._registry.release(model, version)
            except NotFound as error:
                raise Invalid(str(error)) from error
            layout = _ReleaseLayout(release.manifest, release.profile_digest, release.profile())
            self._layouts[model, version] = layout
        return layout


def _store_message(db: Connection, device: str, message: Message, body: Body) -> bool:
    """Store one message; ``False`` if the same one came twice at once."""
    name = {"device": device, "boot": message.boot, "sequence": message.sequence}
    values = {**name, "kind": message.kind, "at": time.time()}
    # Decided by the primary key: of two requests with the same message one inserts.
    if not insert_if_new(db, tables.messages, values):
        return False
    if type(body) in STORES:
        STORES[type(body)](db, device, body)
    return True


def _window_columns(device: str, window: Window) -> dict[str, Any]:
    return {
        "device": device,
        "model": window.model,
        "version": window.version,
        "experiment": window.experiment,
        "arm": window.arm,
        "start": window.start,
    }


def _store_report(db: Connection, device: str, report: WindowReport) -> None:
    db.execute(
        insert(tables.reports).values(
            **_window_columns(device, report.window),
            end=report.window.end,
            observations=report.observations,
            predictions=sum(report.predictions.values()),
            failures=report.errors.get("model", 0),
            body=to_plain(report),
        )
    )


def _store_feedback(db: Connection, device: str, report: FeedbackReport) -> None:
    db.execute(
        insert(tables.feedback).values(
            **_window_columns(device, report.window),
            labelled=report.labelled,
            correct=report.correct,
            own_labelled=report.own_labelled,
            own_correct=report.own_correct,
            measured=report.measured,
            error_sum=report.error_sum,
            error_squares=report.error_squares,
            error_fourths=report.error_fourths,
            body=to_plain(report),
        )
    )


def _store_samples(db: Connection, device: str, batch: SampleBatch) -> None:
    named = {"device": device, "model": batch.model, "version": batch.version}
    rows = [
        {**named, "taken": taken, "row": list(row), "label": label}
        for row, label, taken in zip(batch.rows, batch.labels, batch.taken, strict=True)
    ]
    if rows:
        db.execute(insert(tables.samples), rows)


def _store_tensors(db: Connection, device: str, sample: TensorSample) -> None:
    row = {
        "device": device, "model": sample.model, "version": sample.version, "taken": sample.taken,
        "label": sample.label, "shapes": to_plain(sample.shapes), "bytes": size_of(sample),
        "data": sample.data,
    }  # fmt: skip
    db.execute(insert(tables.tensor_samples).values(**row))


def _store_votes(db: Connection, device: str, body: KeyVotes) -> None:
    """One vote a key, device and period, however often it is sent."""
    t = tables.votes
    where = (t.c.model == body.model) & (t.c.period == body.period) & (t.c.device == device)
    counted = set(db.execute(select(t.c.key).where(where)).scalars())
    named = {"model": body.model, "period": body.period, "device": device}
    rows = [{**named, "key": key} for key in body.keys if key not in counted]
    if rows:
        db.execute(insert(t), rows)


def _store_event(db: Connection, device: str, event: UpdateEvent) -> None:
    db.execute(
        insert(tables.events).values(
            device=device,
            model=event.model,
            version=event.version,
            outcome=event.outcome,
            experiment=event.experiment,
            step=event.step,
            reason=event.reason,
            at=event.at,
        )
    )


STORES: Final[dict[type, Callable[[Connection, str, Any], None]]] = {
    WindowReport: _store_report,
    FeedbackReport: _store_feedback,
    SampleBatch: _store_samples,
    TensorSample: _store_tensors,
    KeyVotes: _store_votes,
    UpdateEvent: _store_event,
    PersonalReport: store_report,
    RankingReport: store_rankings,
}
