"""Devices that talk with a hub in its own process: real messages, real plan evaluation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.experiment_reports import InterleaveReport, Moments, Pairs, ShadowReport
from edge_sdk.contract.fleet import CheckIn, ReportedState
from edge_sdk.contract.key_buckets import BUCKETS, BucketOutcomes, BucketRequests
from edge_sdk.contract.messages import FeedbackReport, Message, UpdateEvent, Upload, WindowReport
from edge_sdk.contract.plan import Assignment, Plan, assign
from edge_sdk.contract.window import Window
from tests.simulated_device import enrolled

NUMBERS = itertools.count(1)


@dataclass
class Device:
    """One device of model ``demo``; ``plan`` is the one that it follows."""

    hub: Hub
    name: str
    attributes: Mapping[str, str]
    plan: Plan | None = None
    entered: set[str] = field(default_factory=set)

    def sync(self) -> None:
        """Follow the newest plan and check in."""
        self.plan = self.hub.plans.current("demo")
        assert self.plan is not None
        given = self.given
        said = CheckIn(
            {"demo": ReportedState(given.release.version, self.plan.serial)}, self.attributes
        )
        self.hub.fleet.check_in(EnrolledDevice(self.name, ("demo",)), said)
        if given.arm != "control" and given.experiment:
            self.entered.add(given.experiment)

    @property
    def given(self) -> Assignment:
        assert self.plan is not None
        trial = self.plan.experiment
        entered = trial is not None and trial.id in self.entered
        return assign(self.plan, self.name, self.attributes, entered=entered)

    def window(self, start: float, version: str | None = None, arm: str | None = None) -> Window:
        given = self.given
        begin = int(start) + 1
        return Window(
            "demo", version or given.release.version, begin, begin + 1,
            given.experiment, arm or given.arm,
        )  # fmt: skip

    def report(self, start: float, n: int, right: float, errors: int = 0) -> None:
        """``n`` predictions whose labels came, a share ``right`` of them right."""
        window = self.window(start)
        digest = self.hub.registry.release("demo", window.version).profile_digest
        latency = tuple(n if i == 30 else 0 for i in range(64))
        self.send(
            WindowReport(
                window, digest, {"model": n}, latency={"model": latency},
                errors={"model": errors} if errors else {},
            ),
            FeedbackReport(window, n, round(right * n), n, round(right * n)),
        )  # fmt: skip

    def rewarded(self, start: float, n: int, clicked: int) -> None:
        """``n`` rankings of what serves, of which ``clicked`` were clicked on."""
        self.send(
            FeedbackReport(
                self.window(start), 0, 0, 0, 0, rewards=n, reward_sum=clicked,
                reward_squares=clicked,
            )
        )  # fmt: skip

    def report_keys(
        self,
        start: float,
        arms: Mapping[str, tuple[str, float]],
        units: int,
        *,
        buckets: bool = True,
    ) -> None:
        """An A/B by key: on each arm (version, right) ``units`` keys of ten labelled requests.

        Older software reports no ``buckets``.
        """
        assert self.plan is not None
        assert self.plan.experiment is not None
        begin, n = int(start) + 1, 10 * units
        for arm, (version, right) in arms.items():
            window = Window("demo", version, begin, begin + 1, self.plan.experiment.id, arm)
            digest = self.hub.registry.release("demo", version).profile_digest
            keys = np.bincount((np.arange(units) * 37) % BUCKETS, minlength=BUCKETS)
            labels = tuple((10 * keys).tolist())
            correct = tuple(round(right * each) for each in labels)
            good = sum(correct)
            asked = BucketRequests(labels, (), tuple(keys.tolist()))
            known = BucketOutcomes(labels, correct)
            self.send(
                WindowReport(
                    window, digest, {"model": n}, units=units, buckets=asked if buckets else None
                ),
                FeedbackReport(window, n, good, n, good, buckets=known if buckets else None),
            )

    def shadow(self, start: float, n: int, won: int, lost: int) -> None:
        """``n`` inputs that the candidate answered beside what served."""
        given = self.given
        assert given.shadow is not None
        window = self.window(start, given.shadow.release.version, given.shadow.name)
        pairs = Pairs(n - won - lost, won, lost, 0)
        latency = Moments(n, 0.1 * n, 0.2 * n)
        self.send(
            ShadowReport(
                window, given.release.version, n, won + lost, latency=latency,
                labelled=pairs, skipped={"queue": 3},
            )
        )  # fmt: skip

    def rankings(self, start: float, wins: int, losses: int) -> None:
        """Interleaved sessions."""
        given = self.given
        assert given.interleaved is not None
        arm = given.interleaved
        window = self.window(start, arm.release.version, arm.name)
        won = {arm.name: wins, "control": losses}
        sessions = 3 * (wins + losses)
        self.send(
            InterleaveReport(
                window, given.release.version, sessions, won, ties=2, clicks=won, seed="s"
            )
        )

    def fails(self) -> None:
        """The candidate could not be activated."""
        given = self.given
        event = UpdateEvent(
            "demo", "failed", given.release.version, 1, reason="no", experiment=given.experiment
        )
        self.send(event)

    def send(self, *bodies: Any) -> None:
        kinds = {
            WindowReport: "window", FeedbackReport: "feedback", ShadowReport: "shadow",
            InterleaveReport: "interleave", UpdateEvent: "event",
        }  # fmt: skip
        messages = tuple(
            Message("boot", next(NUMBERS), kinds[type(body)], to_plain(body)) for body in bodies
        )
        reply = self.hub.telemetry.ingest(EnrolledDevice(self.name, ("demo",)), Upload(messages))
        assert reply.accepted == len(messages), reply.rejected


def fleet(hub: Hub, count: int, regions: tuple[str, ...] = ("eu", "us")) -> list[Device]:
    """``count`` devices that have enrolled, in turn in each region."""
    token = hub.fleet.new_token("demo", uses=count, seconds=60, actor="test")
    found = []
    for i in range(count):
        attributes = {"region": regions[i % len(regions)]}
        found.append(Device(hub, enrolled(hub, token, attributes=attributes), attributes))
    return found
