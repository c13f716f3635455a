"""A hub with everything that a hub can have, in this process; its loop is ticked by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sqlalchemy import update

from cloud_hub.app import create_app
from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import HubFault
from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.settings import RateSettings, Settings
from edge_sdk.contract.codec import encode, to_plain
from edge_sdk.contract.fleet import CheckIn, ReportedState
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.messages import Message, Upload, kind_of
from tests.campaigns.fuzzing.bodies import EXPERIMENT, POLICY, reports
from tests.campaigns.fuzzing.in_process import Answered, Asked, run
from tests.edge.builders import make_release, rows
from tests.simulated_device import credentialed

DAY = 86_400.0


@dataclass
class UnderFire:
    """The hub, and who asks it what."""

    hub: Hub
    app: Any
    credentials: dict[str, tuple[tuple[str, str], ...]]
    loop_errors: dict[str, str] = field(default_factory=dict)
    _sequence: int = 10**10

    @property
    def document(self) -> Mapping[str, Any]:
        """What the application says of its routes."""
        document: Mapping[str, Any] = self.app.openapi()
        return document

    @property
    def experiment(self) -> str | None:
        """Name of the experiment that runs, or of the last one."""
        records = self.hub.experiments.records("demo")
        return records[-1].id if records else None

    def restore(self) -> None:
        """Let there be a plan, a policy and an experiment again, whatever the storm has ended."""
        hub = self.hub
        hub.registry.set_policy("demo", yaml.safe_dump(POLICY), "fuzz")
        hook = hub.triggers.new_hook("demo", "asked", actor="fuzz")
        self.credentials["webhook"] = (("Authorization", f"Bearer {hook}"),)
        plan = hub.plans.current("demo")
        if plan is not None and plan.experiment is not None:
            return
        for work in (
            lambda: hub.plans.promote(
                "demo", "1.0", actor="fuzz", reason="restored", override="again"
            ),
            lambda: hub.registry.set_status("demo", "1.1", "published"),
            lambda: hub.experiments.run(parse_experiment(yaml.safe_dump(EXPERIMENT)), actor="fuzz"),
        ):
            try:
                work()
            except HubFault as error:  # a rule of the hub: the storm goes on without an experiment
                self.loop_errors.setdefault("restore", str(error))

    def tick(self, ahead: float = 0.0) -> None:
        """Let every part of the loop work at once; note those that fail."""
        self.hub.loop.tick(time.time() + ahead)
        self.loop_errors.update(self.hub.loop.errors)

    def ask(self, asked: Asked) -> Answered:
        """Put a request with the credentials of its role."""
        return run(self.app, asked, self.credentials[asked.role])

    def good_device(self) -> list[str]:
        """Serve a device that does nothing wrong; return what went wrong."""
        token = self.hub.fleet.new_token("demo", uses=1, seconds=60, actor="fuzz")
        bearer = self._enrolled(token)
        messages = []
        for body in reports(self.hub, self.experiment)[:2]:
            self._sequence += 1
            messages.append(Message("good", self._sequence, kind_of(body), to_plain(body)))  # type: ignore[arg-type]
        said = encode(CheckIn({"demo": ReportedState("1.0", 1)}, {"region": "eu"}))
        wanted = (
            ("POST", "/v1/checkin", said, 204, b""),
            ("POST", "/v1/messages", Upload(tuple(messages)).to_json(), 200, b'"accepted":2'),
            ("GET", "/v1/metadata/timestamp.json", b"", 200, b'"signed"'),
            ("GET", f"/v1/targets/{self._target()}", b"", 200, b""),
        )
        wrong = []
        for method, path, body, status, part in wanted:
            answer = run(self.app, Asked("device", method, path, body=body), bearer)
            if answer.status != status or part not in answer.body:
                wrong.append(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return wrong

    def _target(self) -> str:
        return next(n for n in self.hub.repository.targets.list("models/demo/1.0/"))

    def _enrolled(self, token: str) -> tuple[tuple[str, str], ...]:
        device, credential = credentialed(self.hub, token, attributes={"region": "eu"})
        with self.hub.engine.begin() as db:  # a day ago: what it counted since may be reported
            joined = {"enrolled_at": time.time() - DAY}
            db.execute(update(devices).where(devices.c.device == device).values(**joined))
        return (("Authorization", f"Bearer {credential}"),)

    def values(self) -> dict[str, Sequence[str]]:
        """Good values of the parameters of paths and queries, by name."""
        return {
            "model": ("demo", "demo", "demo", "big"), "version": ("1.0", "1.1"),
            "id_": (self.experiment or "none",), "trigger": ("asked", "drift"), "run": ("1", "2"),
            "name": ("timestamp.json", "1.root.json", "fresh"), "path": (self._target(),),
            "kind": ("holdout", "catalogue", "train", "onnx", "state"), "digest": ("a" * 64,),
            "seconds": ("3600", "86400"), "signal": ("drift:f0",), "reason": ("because",),
            "arm": ("candidate",), "uses": ("1",), "mode": ("stateful",),
            "power": ("0.8",), "check": ("false",), "since": ("0", "1e9"), "limit": ("10",),
            "expires": ("4000000000",), "dry_run": ("true", "false"), "override": ("because",),
            "replace": ("true", "false"), "rebase": ("true", "false"), "everything": ("true",),
            "expected": ("x",), "state": ("a" * 64,),
        }  # fmt: skip


@contextmanager
def hub_under_fire(folder: Path, database: str | None = None) -> Iterator[UnderFire]:
    """Open a hub of ``demo`` 1.0 and 1.1, with a cloud model, rows, features and an experiment."""
    settings = Settings(folder / "hub", database, tick_seconds=0, rates=RateSettings.unlimited())
    initialise(settings)
    hub = open_hub(settings)
    try:
        groups = (GroupColumn("f0", edges=(0.0,)),)
        for model, version, seed in (("demo", "1.0", 0), ("demo", "1.1", 1), ("big", "1.0", 7)):
            # The cloud's model fails on rows whose first feature is above 100.
            defect = "touchy" if model == "big" else None
            made = make_release(folder / "made", model, version, seed, groups=groups, defect=defect)
            hub.registry.publish(made, actor="fuzz")
        for model in ("big", "demo"):
            hub.plans.promote(model, "1.0", actor="fuzz", reason="first")
        x = rows(60)
        hub.datasets.add("demo", "catalogue", Dataset.of(x, None), actor="test")
        hub.datasets.add("demo", "holdout", Dataset.of(x, np.zeros(60, np.int64)), actor="test")
        fire = UnderFire(hub, create_app(hub), {"nobody": ()})
        fire.app.state.hub = hub
        admin = (settings.data / "admin.token").read_text().strip()
        fire.credentials["administrator"] = (("Authorization", f"Bearer {admin}"),)
        token = hub.fleet.new_token("demo", uses=1_000_000, seconds=DAY, actor="fuzz")
        fire.credentials["newcomer"] = (("Authorization", f"Bearer {token}"),)
        fire.credentials["device"] = fire._enrolled(token)
        fire.restore()
        yield fire
    finally:
        hub.close()
