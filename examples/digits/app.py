"""The device app: a camera that reads digits. Everything of ``edge_sdk`` that an app needs is in
:func:`run`; the rest plays the world (pictures, late labels, a journal for the demo).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_sdk import EdgeDevice, EdgeError, Prediction
from edge_sdk.config import DeviceConfig
from examples.digits.data import Stream, split

LABEL_SECONDS = 1.0
"""Seconds after a prediction at which the true digit is known."""

VISITORS = 200
"""Number of visitors who stand before the camera in turn."""

LABEL_SHARE = 0.9
"""Share of pictures whose true digit is ever known.

Of the rest the hub asks what they could hide. Few devices say little about how much labelling
differs between devices: a tenth can never hide what is wrong with the demo's bad version, but two
fifths can, for as long as a demo lasts.
"""


def run(arguments: argparse.Namespace, world: World) -> None:
    """Predict the digit of each picture until the world ends."""
    config = DeviceConfig(sync_seconds=1.0, retry_seconds=0.5, retry_max_seconds=2.0)
    with EdgeDevice(
        arguments.state,
        hub=arguments.hub,
        token=arguments.token,
        model="digits",
        attributes={"region": arguments.region},
        share=True,
        config=config,
    ) as device:
        world.note(device=device.status()["device"])
        while world.goes_on():
            picture, truth = world.picture()
            try:
                prediction = device.predict(picture, unit=world.visitor())
            except EdgeError as error:
                world.failed(error)
                continue
            world.answered(prediction, truth)
            for id_, label in world.late_labels():
                try:
                    device.feedback(id_, label=label)
                except EdgeError as error:  # the label came too late
                    world.failed(error)


class World:
    """The surroundings of the device: pictures, late labels, and a journal for the demo."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        _, _, rows = split()
        self._stream = Stream(rows, arguments.number)
        self._pause = 1 / arguments.rate
        self._camera: Path = arguments.camera
        self._journal = arguments.journal.open("a", buffering=1)
        self._labels: deque[tuple[float, str, int]] = deque()
        self._next = time.time()
        self._changed, self._looked = False, 0.0
        self._started, self._count = 0.0, 0
        self._ends = False
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: Any) -> None:
        self._ends = True

    def goes_on(self) -> bool:
        """Wait for the next picture; return false when it is time to stop."""
        self._next += self._pause
        time.sleep(max(0.0, self._next - time.time()))
        return not self._ends

    def picture(self) -> tuple[Any, int]:
        """Return the picture before the camera now [64], and its true digit."""
        now = time.time()
        if now - self._looked > 0.2:
            self._looked = now
            self._changed = self._camera.exists() and self._camera.read_text() == "changed"
        picture = self._stream.next(changed=self._changed)
        self._started = time.perf_counter()
        return picture

    def visitor(self) -> str:
        """Return who shows the picture: an A/B test by key gives one visitor one version."""
        return f"visitor-{self._count % VISITORS}"

    def answered(self, prediction: Prediction, truth: int) -> None:
        """Note a prediction in the journal; for some, the true digit will be known later."""
        self._count += 1
        self.note(
            source=prediction.source,
            version=prediction.version,
            ok=prediction.label == truth,
            us=round((time.perf_counter() - self._started) * 1e6),
            degraded=prediction.degraded,
            changed=self._changed,
        )
        if self._count % 10 < LABEL_SHARE * 10:
            self._labels.append((time.time() + LABEL_SECONDS, prediction.id, truth))

    def late_labels(self) -> list[tuple[str, int]]:
        """Return (prediction, digit) of the labels that are known by now."""
        labels = []
        while self._labels and self._labels[0][0] <= time.time():
            _, id_, truth = self._labels.popleft()
            labels.append((id_, truth))
        return labels

    def failed(self, error: EdgeError) -> None:
        """Note a call that failed."""
        self.note(error=str(error))

    def note(self, **fields: Any) -> None:
        """Add a line to the journal."""
        self._journal.write(json.dumps({"t": round(time.time(), 3), **fields}) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--token")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--region", default="eu")
    parser.add_argument("--rate", type=float, default=40.0, help="pictures a second")
    parser.add_argument("--camera", type=Path, required=True, help="file that says 'changed'")
    parser.add_argument("--journal", type=Path, required=True)
    arguments = parser.parse_args(argv)
    run(arguments, World(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
