"""Messages, opened one by one: what cannot be, whatever else is stored, is refused here.

No database is asked but for releases that nobody has reported of yet, so this may run anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_hub.errors import Implausible, Invalid, NotFound
from cloud_hub.telemetry.groups import check_groups
from cloud_hub.telemetry.histograms import HistogramLayout, ReportHistograms
from cloud_hub.telemetry.sample_check import check_samples, check_tensors
from cloud_hub.telemetry.storing import rejection
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
    Upload,
    Windowed,
    WindowReport,
)

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.contract.profile import ReferenceProfile
    from edge_sdk.contract.window import Window

LONGEST_WINDOW: Final = 7 * 86_400
"""Seconds."""


@dataclass(frozen=True)
class ReleaseLayout:
    """Layout that messages about one release are checked against."""

    manifest: Manifest
    profile_digest: str
    profile: ReferenceProfile
    histograms: HistogramLayout


class Received(NamedTuple):
    """A message that makes sense; ``histograms`` of a window report, decoded."""

    message: Message
    body: Body
    model: str
    histograms: ReportHistograms | None = None
    layout: ReleaseLayout | None = None

    @property
    def name(self) -> tuple[str, int]:
        """Return the message's name among those of its device."""
        return self.message.boot, self.message.sequence


class OpenedMessages(NamedTuple):
    """Messages of one device that make sense, in order; others, and why they are refused; and what
    of these tells of a wrong clock, each with the model that it is about.
    """

    device: str
    received: Sequence[Received]
    refused: tuple[Rejection, ...]
    implausible: tuple[tuple[str, Implausible], ...] = ()


class Opener:
    """Opens messages of devices.

    Args:
        registry: knows the releases that devices report about.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._layouts: dict[tuple[str, str], ReleaseLayout] = {}

    def open_all(self, device: EnrolledDevice, upload: Upload) -> OpenedMessages:
        """Open the messages of an upload.

        Args:
            device: who sent it, as its credential says.
            upload: messages in the order in which the device made them.
        """
        received: list[Received] = []
        refused: list[Rejection] = []
        implausible: list[tuple[str, Implausible]] = []
        for message in upload.messages:
            try:
                body = message.open()
                if isinstance(body, Windowed):
                    device.check_model(body.window.model)
                    if (wrong := _of_the_future(body.window)) is not None:
                        implausible.append((body.window.model, wrong))
                        raise wrong
                received.append(self._open(device, message, body))
            except (ContractError, Invalid) as error:
                refused.append(rejection(message, str(error)))
        return OpenedMessages(device.device, received, tuple(refused), tuple(implausible))

    def _open(self, device: EnrolledDevice, message: Message, body: Body) -> Received:
        """Refuse what cannot be: a model of others, an unknown version, other bins."""
        if not isinstance(body, Windowed):
            device.check_model(body.model)
            self._check_shared(body)
            return Received(message, body, body.model)
        window = body.window
        _check_window(window)
        layout = self._layout(window.model, window.version)  # an unknown version is refused
        histograms = _histograms(body, layout) if isinstance(body, WindowReport) else None
        if isinstance(body, WindowReport | FeedbackReport) and body.groups:
            check_groups(body.groups, layout.manifest.groups)
        return Received(message, body, window.model, histograms, layout)

    def _check_shared(self, body: Body) -> None:
        if isinstance(body, SampleBatch | TensorSample | KeyVotes):
            manifest = self._layout(body.model, body.version).manifest
            if isinstance(body, SampleBatch):
                check_samples(body, manifest)
            elif isinstance(body, TensorSample):
                check_tensors(body, manifest)

    def _layout(self, model: str, version: str) -> ReleaseLayout:
        layout = self._layouts.get((model, version))
        if layout is None:
            try:
                release = self._registry.release(model, version)
            except NotFound as error:
                raise Invalid(str(error)) from error
            profile = release.profile()
            layout = ReleaseLayout(
                release.manifest, release.profile_digest, profile, HistogramLayout.of(profile)
            )
            self._layouts[model, version] = layout
        return layout


def _of_the_future(window: Window) -> Implausible | None:
    """Return what is wrong with a window that has not begun yet by the hub's clock."""
    if window.start <= time.time() + CLOCK_SKEW_SECONDS:
        return None
    reason = f"window: starts in the future ({window.start}); check this device's clock"
    return Implausible(reason, "clock")


def _check_window(window: Window) -> None:
    length = window.end - window.start
    if window.start % length:
        raise Invalid(
            f"window: expected a start that is a multiple of its {length} s, got "
            f"{window.start}; it would overlap its neighbours"
        )
    if length > LONGEST_WINDOW:
        raise Invalid(f"window: expected at most {LONGEST_WINDOW} s, got {length}")


def _histograms(report: WindowReport, layout: ReleaseLayout) -> ReportHistograms:
    """Decode and check what a report counted."""
    for source, row in report.latency.items():
        made = report.predictions.get(source, 0)
        if sum(row) > made:
            raise Invalid(f"latency: {sum(row)} were timed, but {source} answered {made}")
    if report.profile != layout.profile_digest:
        raise Invalid(
            f"profile: expected {layout.profile_digest[:12]}…, got {report.profile[:12]}…"
        )
    histograms = ReportHistograms.of(report)
    histograms.check(report, layout.histograms)
    return histograms
