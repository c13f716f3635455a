"""The state that the steps of the demo share: the hub, the fleet, the data.

A step is a function of the story that returns whether it went as it should, and its figures.
``opening``, ``freshening``, ``trials`` and ``ending`` hold them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from cloud_hub.client import AdminClient
from converters import convert
from edge_sdk.model.release import Release
from examples.digits.data import Digits, pilot, split
from examples.digits.demo import journals
from examples.digits.demo.processes import PATIENCE, Fleet

DEVICES: Final = 8
"""So many that a verdict stands without any one of them, however that one differs."""

KILLED: Final = 4
"""The device that is killed during an update."""

KIOSK: Final = "digits-kiosk"
"""The line of models of kiosks, which no experiment on the cameras concerns."""

BAD: Final = "3.0"
"""The version that a person publishes by mistake."""

POLICY: Final = Path(__file__).parent.parent / "policy.yaml"
Outcome = tuple[bool, str]
Step = Callable[["Story"], Outcome]


class Story:
    """State of the demo; ``marks`` are moments (Unix seconds, name) for the report's plots."""

    hub: AdminClient

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = Fleet(folder)
        self.train, self.holdout, self.stream = split()
        self.drifted_at = 0.0
        self.promoted_at = 0.0
        self.began = time.time()
        self.marks: list[tuple[float, str]] = []
        self._maker = ThreadPoolExecutor(max_workers=1)
        self._made: dict[str, Future[Any]] = {}

    def prepare(self, name: str, make: Callable[[], Any]) -> None:
        """Have something made while the story waits for others; one thing at a time, in order."""
        self._made[name] = self._maker.submit(make)

    def prepared(self, name: str) -> Any:
        """Return what :meth:`prepare` has made, once it is done; raises what went wrong there."""
        return self._made[name].result(PATIENCE)

    def convert(
        self, model: Any, version: str, data: Digits, cloud: Release | None, line: str = "digits"
    ) -> Release:
        """Convert a model to a release.

        Args:
            model: fitted estimator.
            version: of the release.
            data: rows that it was trained on.
            cloud: release that its cascade is calibrated against.
            line: name of the model.
        """
        return convert(
            model,
            self.holdout.X,
            self.holdout.y,
            name=line,
            version=version,
            out=self.folder / "releases" / f"{line}-{version}",
            data=(data.X, data.y),
            profile=pilot(self.stream),
            calibrate_against=cloud,
        )

    def publish(
        self, release: Release, state: bytes | None = None, override: str | None = None
    ) -> None:
        """Sign a release with the publisher's key and publish it.

        Args:
            release: to be published.
            state: for the next stateful training.
            override: reason to pass the offline gate in any case.
        """
        key = self.fleet.hub_data / "keys" / "releases.pem"
        self.hub.publish(release.folder, key, training_state=state, override=override)

    def policy(self, text: str, line: str = "digits") -> str:
        """Put a policy for a line of models in force; return what that changed."""
        plan = self.hub.post(f"models/{line}/policy/plan", text.encode())
        self.hub.put(f"models/{line}/policy", text.encode(), expected=plan["digest"])
        return "; ".join(change["line"] for change in plan["changes"])

    def mark(self, name: str, at: float | None = None) -> float:
        """Note a moment for the plots: now, or ``at`` (Unix seconds)."""
        moment = time.time() if at is None else at
        self.marks.append((moment, name))
        return moment

    def versions(self) -> list[str | None]:
        """Return the version on each device that has a camera."""
        devices = self.hub.get("devices")
        return [device["version"] for device in devices if device["model"] == "digits"]

    def run(self) -> Any:
        """Return the newest run."""
        return self.hub.get("models/digits/runs")[-1]

    def experiment(self, candidate: str) -> Any:
        """Return the experiment of a version."""
        experiments = self.hub.get("models/digits/experiments")
        return next(e for e in experiments if e["candidate"] == candidate)

    def all_answers(self) -> list[journals.Line]:
        """Return every answer of every device, in order of time."""
        return sorted(self.answers(), key=lambda line: float(line["t"]))

    def answers(self, since: float = 0.0) -> list[journals.Line]:
        """Return the answers of all devices since a time, device by device."""
        return [line for n in range(DEVICES) for line in self.device_answers(n, since)]

    def device_answers(self, number: int, since: float = 0.0) -> list[journals.Line]:
        """Return the answers of one device since a time in Unix seconds."""
        path = self.fleet.journal(number)
        return journals.answers(path, since) if path.exists() else []

    def wait(self, reached: Callable[[], bool], goal: str) -> None:
        """Wait until ``reached()``; raises TimeoutError, which names the ``goal``."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if reached():
                return
            time.sleep(0.25)
        raise TimeoutError(f"waited {PATIENCE:.0f} s for {goal}")
