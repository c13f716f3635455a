"""What the steps of the demo share: the hub, the fleet, the data, and how to look at them.

A step is a function of the story that returns whether it went as it should, and its figures.
``opening``, ``freshening`` and ``ending`` hold them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cloud_hub.client import AdminClient
from converters import convert
from edge_sdk.model.release import Release
from examples.digits.data import Digits, pilot, split
from examples.digits.demo import journals
from examples.digits.demo.processes import PATIENCE, Fleet

DEVICES: Final = 5
KILLED: Final = 4
"""The device that is killed during an update."""

BAD: Final = "3.0"
"""The version that a person publishes by mistake."""

POLICY: Final = Path(__file__).parent.parent / "policy.yaml"
Outcome = tuple[bool, str]
Step = Callable[["Story"], Outcome]


class Story:
    """What the steps share; ``marks`` are moments that the report's plots show."""

    hub: AdminClient

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = Fleet(folder)
        self.train, self.holdout, self.stream = split()
        self.drifted_at = 0.0
        self.promoted_at = 0.0
        self.began = time.time()
        self.marks: list[tuple[float, str]] = []

    def convert(self, model: Any, version: str, data: Digits, cloud: Release | None) -> Release:
        """A release of the line ``digits``."""
        return convert(
            model,
            self.holdout.X,
            self.holdout.y,
            name="digits",
            version=version,
            out=self.folder / "releases" / f"digits-{version}",
            data=(data.X, data.y),
            profile=pilot(self.stream),
            calibrate_against=cloud,
        )

    def publish(
        self, release: Release, state: bytes | None = None, override: str | None = None
    ) -> None:
        """Sign it with the publisher's key and give it to the hub."""
        key = self.fleet.hub_data / "keys" / "releases.pem"
        self.hub.publish(release.folder, key, training_state=state, override=override)

    def policy(self, text: str) -> str:
        """Put a policy for ``digits`` in force; what that changed, line by line."""
        plan = self.hub.post("models/digits/policy/plan", text.encode())
        self.hub.put("models/digits/policy", text.encode(), expected=plan["digest"])
        return "; ".join(change["line"] for change in plan["changes"])

    def mark(self, what: str, at: float | None = None) -> float:
        """Note a moment for the plots."""
        moment = time.time() if at is None else at
        self.marks.append((moment, what))
        return moment

    def versions(self) -> list[str | None]:
        """What each device runs."""
        return [device["version"] for device in self.hub.get("devices")]

    def run(self) -> Any:
        """The newest run."""
        return self.hub.get("models/digits/runs")[-1]

    def experiment(self, candidate: str) -> Any:
        """The experiment of a version."""
        found = self.hub.get("models/digits/experiments")
        return next(e for e in found if e["candidate"] == candidate)

    def all_answers(self) -> list[journals.Line]:
        """Every answer of every device, in order of time."""
        return sorted(self.answers(), key=lambda line: float(line["t"]))

    def answers(self, since: float = 0.0) -> list[journals.Line]:
        """Answers of all devices, device by device."""
        return [line for n in range(DEVICES) for line in self.device_answers(n, since)]

    def device_answers(self, number: int, since: float = 0.0) -> list[journals.Line]:
        """Answers of one device."""
        path = self.fleet.journal(number)
        return journals.answers(path, since) if path.exists() else []

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for something; raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if reached():
                return
            time.sleep(0.25)
        raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}")
