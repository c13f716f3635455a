"""A thousand devices on a real hub: a candidate that is bad in one region stops in that region.

``python -m tests.campaigns.live_fleet --devices 1000``

A hub process serves; every device enrols over HTTP, asks for news, verifies the signed plan once it
changed, evaluates it for itself, makes the contract's messages and uploads them. In every round
each device is offline with a chance of three in ten: it goes on under the plan that it knows, keeps
its messages and sends them when it is back. The canary goes region by region (eu, us, then all that
are left); the candidate answers worse in ``us`` only.

Passes if the experiment was taken back in the step of ``us``, if nobody of the regions after it was
ever served by the candidate, and if in the end every device that is online is back.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloud_hub.client import AdminClient
from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.simulate.outcome import Simulated
from cloud_hub.simulate.scenario import parse_scenario
from cloud_hub.simulate.world import simulate
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, ReportedState
from edge_sdk.contract.messages import FeedbackReport, Message, Upload, WindowReport, kind_of
from edge_sdk.contract.plan import Plan, assign
from edge_sdk.contract.window import Window
from edge_sdk.hub.client import HubClient
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.trust import Trust
from tests.edge.builders import make_release
from tests.servers import running_hub
from tests.simulated_device import join
from tests.waiting import PATIENCE

MODEL: Final = "fleet"
REGIONS: Final = {"eu": 0.4, "us": 0.3, "asia": 0.2, "africa": 0.1}
BAD: Final = "us"
OFFLINE: Final = 0.3
ROUNDS: Final = 40
"""At most; it takes five to ten, as the hub comes to look."""
GOOD, POOR = 0.95, 0.60
THREADS: Final = 8

DECLARED: Final = """
model: fleet
strategy: canary
candidate: '1.1'
stages:
- cohort: {attribute: region, values: [eu]}
- cohort: {attribute: region, values: [us]}
- {}
steps: [0.2, 0.5, 1.0]
soak: 2s
soak_predictions: 500
minimum_devices: 3
minimum_outcomes: 500
outcomes: [{name: accuracy, metric: accuracy, minimum_effect: 0.02}]
guardrails: {alpha: 0.0001}
"""


SIMULATED: Final = """
model: fleet
serving: '1.0'
devices: {devices}
duration: 2m
window: 2s
poll: 2s
requests: {hourly}
online: {{share: 0.7}}
labels: {{coverage: 1.0}}
spread: {{requests: 0, wrong: 0, errors: 0, latency: 0}}
cohorts:
- {{name: eu, share: 0.4, attributes: {{region: eu}}}}
- {{name: us, share: 0.3, attributes: {{region: us}}}}
- {{name: asia, share: 0.2, attributes: {{region: asia}}}}
- {{name: africa, share: 0.1, attributes: {{region: africa}}}}
versions:
- {{version: '1.0', accuracy: 0.95, error_rate: 0}}
- version: '1.1'
  accuracy: 0.95
  error_rate: 0
  released: 2s
  cohorts: {{us: {{accuracy: 0.6}}}}
"""
"""The same fleet for ``edge-hub simulate``: a round of it is a window."""


def simulated(count: int, requests: int, seed: int = 1) -> Simulated:
    """The same story in compressed time, of as many devices."""
    scenario = parse_scenario(SIMULATED.format(devices=count, hourly=requests * 1_800))
    return simulate(scenario, parse_policy(""), parse_experiment(DECLARED), seed=seed)


@dataclass
class Device:
    """One device, by the SDK's own transport, plan evaluation and messages."""

    client: HubClient
    number: int
    region: str
    name: str = ""
    plan: Plan | None = None
    etag: str | None = None
    sequence: int = 0
    waiting: list[Message] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)

    @property
    def attributes(self) -> Mapping[str, str]:
        return {"region": self.region}

    def enrol(self, token: str) -> bytes:
        """Join the fleet; the root of its trust."""
        reply = join(self.client, token, MODEL, self.attributes)
        self.name = reply.device
        return reply.root.encode()

    def ask(self) -> bool:
        """Send what waits, ask for news; return whether there is any."""
        if self.waiting:
            reply = self.client.upload(Upload(tuple(self.waiting)))
            assert not reply.rejected, reply.rejected
            self.waiting.clear()
        etag = self.client.changed(self.etag)
        self.etag = etag or self.etag
        return etag is not None

    def follow(self, plan: Plan) -> None:
        """Take a plan, and say so."""
        self.plan = plan
        version = assign(plan, self.name, self.attributes).release.version
        self.client.checkin(CheckIn({MODEL: ReportedState(version, plan.serial)}, self.attributes))

    def answer(self, turn: int, at: int, requests: int, profiles: Mapping[str, str]) -> None:
        """A window of requests with late labels, as the version that serves here answers them.

        What comes is drawn for the ``turn``, not for the moment: it is the same in every run.
        """
        if self.plan is None:
            return
        given = assign(self.plan, self.name, self.attributes)
        version = given.release.version
        rate = POOR if (version, self.region) == ("1.1", BAD) else GOOD
        draw = np.random.default_rng([self.number, turn])
        right = int(draw.binomial(requests, rate))
        latency = np.bincount(draw.integers(24, 34, requests), minlength=64)
        window = Window(MODEL, version, at, at + 1, given.experiment, given.arm)
        counted = {"model": tuple(int(c) for c in latency)}
        self._keep(WindowReport(window, profiles[version], {"model": requests}, latency=counted))
        self._keep(FeedbackReport(window, requests, right, requests, right))
        self.served[version] += requests

    def _keep(self, body: WindowReport | FeedbackReport) -> None:
        self.sequence += 1
        self.waiting.append(Message("boot", self.sequence, kind_of(body), to_plain(body)))


class Fleet:
    """The devices, a hub, and one verified copy of its newest plan."""

    def __init__(self, admin: AdminClient, token: str, count: int, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        weights = tuple(REGIONS.values())
        regions = [*REGIONS, *self._random.choices([*REGIONS], weights, k=count - len(REGIONS))]
        self.devices = [
            Device(HubClient(admin.url, timeout=PATIENCE), i, r) for i, r in enumerate(regions)
        ]
        self._pool = ThreadPoolExecutor(THREADS)
        # One after the other, so that every device has the same name in every run.
        root, *_ = [device.enrol(token) for device in self.devices]
        self._turn = 0
        first = self.devices[0].client
        self._store = StateDatabase(folder / "trust")
        self._trust = Trust(self._store, first, root, time.time)
        self._trust.of(MODEL)

    def round(self, requests: int, profiles: Mapping[str, str]) -> int:
        """Everybody answers, whoever is online syncs before and after; how many were."""
        online = [d for d in self.devices if self._random.random() >= OFFLINE]
        self._sync(online)
        at = int(time.time()) + 1
        self._turn += 1
        for device in self.devices:
            device.answer(self._turn, at, requests, profiles)
        self._sync(online)
        return len(online)

    def _sync(self, devices: Sequence[Device]) -> None:
        asked = self._pool.map(Device.ask, devices)
        news = [device for device, new in zip(devices, asked, strict=True) if new]
        if news:
            # After all have asked: the plan is at least as new as what any of them was told of.
            # All verify the same signed bytes; one client of The Update Framework does.
            plan = self._trust.refresh()[MODEL]
            assert plan is not None
            list(self._pool.map(lambda device: device.follow(plan), news))

    def close(self) -> None:
        """End its threads and close its files."""
        self._pool.shutdown()
        self._store.close()

    def exposed(self) -> Counter[str]:
        """Devices that the candidate served, by region."""
        return Counter(d.region for d in self.devices if d.served["1.1"])


@dataclass(frozen=True)
class Result:
    """What happened: the hub's report and what the devices themselves know."""

    report: dict[str, Any]
    exposed: Counter[str]
    devices: Counter[str]
    requests: Counter[str]
    seconds: float

    def wrong(self) -> list[str]:
        """What did not go as it should; empty if all did."""
        trial = self.report["experiment"]
        said = []
        if trial["status"] != "aborted":
            said.append(f"expected it taken back, it is {trial['status']}: {trial['reason']}")
        last = self.report["timeline"][-1]
        if not last["step"].endswith(f"region={BAD}"):
            said.append(f"expected it to stop in {BAD}, it stopped at {last['step']}")
        others = set(self.exposed) - {"eu", BAD}
        if others:
            said.append(f"expected nobody else exposed, these were: {sorted(others)}")
        if not self.exposed[BAD]:
            said.append(f"expected devices of {BAD} exposed")
        return said

    def agrees(self, other: Simulated) -> list[str]:
        """Say in what a simulation of the fleet differs; empty if it stops in the same step."""
        trial, last = self.report["experiment"], self.report["timeline"][-1]
        end = f"{trial['status']} at {last['step']}"
        return [] if other.end == end else [f"simulated: {other.end}; it was {end}"]


def run(count: int, folder: Path, *, requests: int, seed: int = 1) -> Result:
    """The whole story on a new hub."""
    began = time.monotonic()
    with running_hub(folder, tick=0.5) as hub:
        profiles = {}
        for version in ("1.0", "1.1"):
            release = make_release(folder / version, MODEL, version)
            hub.admin.publish(release.folder, hub.key, override="campaign")
            profiles[version] = release.profile_digest
        hub.admin.post(f"models/{MODEL}/promote", version="1.0")
        fleet = Fleet(hub.admin, hub.token(MODEL, count), count, folder, seed)
        fleet.round(requests, profiles)
        id_ = hub.admin.experiments.start(DECLARED)["id"]
        for number in range(ROUNDS):
            online = fleet.round(requests, profiles)
            time.sleep(1.5)
            trial = hub.admin.experiments.status(id_)
            print(f"round {number + 1}: {online} online; {trial['status']}; {trial['reason']}")
            if trial["status"] not in ("running", "waiting"):
                break
        report = hub.admin.experiments.report(id_)
        (folder / "report.html").write_text(hub.admin.experiments.page(id_), encoding="utf-8")
    fleet.close()
    served: Counter[str] = Counter()
    for device in fleet.devices:
        served.update(device.served)
    regions = Counter(d.region for d in fleet.devices)
    return Result(report, fleet.exposed(), regions, served, time.monotonic() - began)


def told(result: Result) -> str:
    """The timeline, and exposure by region."""
    began = result.report["experiment"]["started_at"]
    lines = [
        f"{event['at'] - began:7.1f} s  {event['event']:<8} {event['step']:<20} {event['reason']}"
        for event in result.report["timeline"]
    ]
    rows: dict[str, list[str]] = defaultdict(list)
    for row in result.report["cohorts"]:
        accuracy = "–" if row["accuracy"] is None else f"{row['accuracy']:.3f}"
        rows[row["cohort"]].append(f"{row['arm']} {row['devices']} devices, accuracy {accuracy}")
    lines += [f"{cohort}: {'; '.join(found)}" for cohort, found in rows.items()]
    shown = ", ".join(f"{r} {result.exposed[r]} of {n}" for r, n in result.devices.items())
    lines.append(f"devices that the candidate served: {shown}")
    lines.append(f"requests by version: {dict(result.requests)}; took {result.seconds:.0f} s")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if it went as it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--requests", type=int, default=20, help="of each device in a round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="where the page goes")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="live-fleet-") as folder:
        result = run(
            arguments.devices, Path(folder), requests=arguments.requests, seed=arguments.seed
        )
        if arguments.report is not None:
            arguments.report.write_bytes((Path(folder) / "report.html").read_bytes())
    print(told(result))
    told_of = simulated(arguments.devices, arguments.requests, arguments.seed)
    print(f"simulated: {told_of.end}")
    wrong = result.wrong() + result.agrees(told_of)
    print("\n".join(wrong) or "as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
