"""Simulated fleets that report to a real hub: window reports and late labels of demo 1.0."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    Message,
    Upload,
    UploadReply,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.window import Window
from edge_sdk.telemetry.histograms import histogram
from tests.contract.examples import histogram_text
from tests.edge.builders import FEATURES, profile
from tests.hub.enrolled import long_ago
from tests.simulated_device import enrolled

WINDOW = 60
BEGIN = 1_700_000_040  # a whole minute


@dataclass
class Simulated:
    """``devices`` devices of ``demo``; each window reports ``rows`` rows of each."""

    hub: Hub
    devices: int = 16
    rows: int = 100
    seed: int = 0
    regions: tuple[str, ...] = ("eu", "us")
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self._sequence = itertools.count(1)
        self.profile = profile()
        self.digest = self.hub.registry.release("demo", "1.0").profile_digest
        token = self.hub.fleet.new_token("demo", uses=self.devices, seconds=60, actor="test")
        for i in range(self.devices):
            region = self.regions[i % len(self.regions)]
            self.names.append(enrolled(self.hub, token, attributes={"region": region}))
        long_ago(self.hub)

    def send(self, device: str, *bodies: Body) -> UploadReply:
        messages = [
            Message("b1", next(self._sequence), kind_of(b), to_plain(b))  # type: ignore[arg-type]
            for b in bodies
        ]
        reply = self.hub.telemetry.ingest(
            EnrolledDevice(device, ("demo",)), Upload(tuple(messages))
        )
        assert not reply.rejected, reply.rejected
        return reply

    def window(
        self,
        number: int,
        *,
        shift: float = 0.0,
        missing: float = 0.0,
        region: str | None = None,
        errors: float | None = None,
    ) -> None:
        """Every device reports window ``number``: feature f1 moved by ``shift`` and a share
        ``missing`` of f2 (both in ``region`` only, if given), a share ``errors`` of labels wrong.
        """
        at = BEGIN + number * WINDOW
        where = Window("demo", "1.0", at, at + WINDOW)
        for i, device in enumerate(self.names):
            there = region is None or self.regions[i % len(self.regions)] == region
            x = self.random.standard_normal((self.rows, FEATURES))
            x[:, 1] += shift * there
            x[: round(self.rows * missing * there), 2] = np.nan
            bodies: list[Body] = [self._report(where, x)]
            if errors is not None:
                n = self.rows
                right = n - int(self.random.binomial(n, errors))
                bodies.append(FeedbackReport(where, n, right, n, right))
            self.send(device, *bodies)

    def report_of(self, number: int) -> WindowReport:
        """A report that no device has sent."""
        at = BEGIN + number * WINDOW
        x = self.random.standard_normal((self.rows, FEATURES))
        return self._report(Window("demo", "1.0", at, at + WINDOW), x)

    def _report(self, where: Window, x: np.ndarray) -> WindowReport:
        n = len(x)
        features = [
            tuple(histogram(f, x[:, i]).tolist()) for i, f in enumerate(self.profile.features)
        ]
        labels = np.bincount(self.random.integers(0, 3, n), minlength=5).tolist()
        return WindowReport(
            where,
            self.digest,
            {"model": n},
            histogram_text(*features),
            histogram_text(tuple(labels), (0, n, 0, 0)),
            n,
        )

    def after(self, number: int) -> float:
        """A moment at which window ``number`` and its grace are over."""
        return float(BEGIN + (number + 1) * WINDOW + 151)
