"""The fleet that is operated: real devices in this process, a real hub, a world that changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from converters import convert
from edge_sdk import EdgeDevice
from tests.e2e.live import PATIENT
from tests.servers import HubProcess

MODEL: Final = "kiosk"
DEVICES: Final = 8
ROWS: Final = 80
SHIFT: Final = 2.5
LONGEST: Final = 1_500.0
"""Seconds after which something is taken never to happen: verdicts take their time."""

ROOT: Final = Path(__file__).parents[2]

POLICY: Final = f"""\
model: {MODEL}
sharing: {{samples: true, per_window: 1000}}
reporting: {{window: 1s, minimum_observations: 20, votes: 1000}}
monitoring: {{minimum: 100, outputs: false, grace: 0s}}
experiment:
  steps: [0.5, 1.0]
  soak: 0s
  minimum_labels: 100
  minimum_devices: 2
  label_settle: 0s
triggers:
  - name: inputs-moved
    when: {{drift: {{kinds: [drift]}}}}
    cooldown: 1h
train:
  entry: tests.hub.runs.trainers:good
  path: {ROOT}
  mode: stateless
  minimum_samples: 150
"""


def sample(random: np.random.Generator, count: int, shift: float) -> NDArray[np.float32]:
    """Rows of four features, the second moved by ``shift``."""
    x = random.normal(size=(count, 4)).astype(np.float32)
    x[:, 1] += np.float32(shift)
    return x


def truth(x: NDArray[np.float32], shift: float) -> NDArray[np.int64]:
    """The right answers: what is usual moves with the inputs."""
    return (x[:, 0] + x[:, 1] > shift).astype(np.int64)


def made_releases(folder: Path) -> dict[str, Path]:
    """Folders of 1.0 and 1.1, which are right, and of 1.2, wrong about half of the rows."""
    random = np.random.default_rng(0)
    x = sample(random, 800, 0.0)
    labels = {"1.0": truth(x, 0.0), "1.1": truth(x, 0.02), "1.2": (x[:, 2] > 0).astype(np.int64)}
    folders = {}
    for version, y in labels.items():
        release = convert(
            LogisticRegression().fit(x[:400], y[:400]), x[400:], y[400:], name=MODEL,
            version=version, out=folder / f"{MODEL}-{version}", variants=("float32",),
        )  # fmt: skip
        folders[version] = release.folder
    return folders


class OperatedFleet:
    """Devices that answer rows, learn the truth a moment later, and talk with their hub.

    Args:
        hub: of the devices.
        folder: for their states.
    """

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self._hub, self._folder = hub, folder
        self._random = np.random.default_rng(1)
        self._closing = contextlib.ExitStack()
        self.devices: list[EdgeDevice] = []
        self.shift = 0.0

    def join(self, tokens: list[str]) -> list[str]:
        """Have a device join with each token; return their names."""
        config = replace(PATIENT, logs=True)
        for number, token in enumerate(tokens):
            device = EdgeDevice(
                self._folder / f"device-{number}", hub=self._hub.url, token=token, model=MODEL,
                attributes={"hall": "AB"[number % 2]}, share=True, background=False, config=config,
            )  # fmt: skip
            self.devices.append(self._closing.enter_context(device))
        return [device.status()["device"] for device in self.devices]

    def turn(self) -> None:
        """Let every device answer, learn, report and sync; who was revoked goes on answering."""
        for device in self.devices:
            device.sync()
            x = sample(self._random, ROWS, self.shift)
            for row, label in zip(x, truth(x, self.shift), strict=True):
                device.feedback(device.predict(row).id, label=int(label))
            device._service.collect(final=True)
            device.sync()

    def until(self, reached: Callable[[], Any], what: str) -> None:
        """Take turns until something is reached."""
        deadline = time.monotonic() + LONGEST
        while not reached():
            assert time.monotonic() < deadline, f"waited for {what}"
            self.turn()

    def close(self) -> None:
        """Close the devices."""
        self._closing.close()
