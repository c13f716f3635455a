"""Devices that answer and report without pause, whatever becomes of their hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from tests.edge.builders import rows
from tests.waiting import PATIENCE, wait_for

ROWS: Final = rows(5)
PAUSE: Final = 0.2
"""Seconds between two turns: far below the rate at which a hub stops believing a device."""

PROMPT: Final = DeviceConfig(request_seconds=60.0)


@dataclass(frozen=True)
class Count:
    """Predictions of one device: those that it made, and those that the hub has counted."""

    made: int
    counted: int

    @property
    def lost(self) -> int:
        return max(self.made - self.counted, 0)

    @property
    def doubled(self) -> int:
        return max(self.counted - self.made, 0)


class Reporter:
    """One device on a thread of its own: opened, asked, closed, and so on.

    Args:
        state: its folder.
        token: to enrol with.
        model: of the device.
        address: gives the hub's URL as it is now.
    """

    def __init__(self, state: Path, token: str, model: str, address: Callable[[], str]) -> None:
        self._state, self._token, self._model, self._address = state, token, model, address
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self.made = 0
        with self._open() as device:
            self.name = str(device.status()["device"])
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _open(self) -> EdgeDevice:
        return EdgeDevice(
            self._state,
            hub=self._address(),
            token=self._token,
            model=self._model,
            config=PROMPT,
            background=False,
        )

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        try:
            while not self._stop.wait(PAUSE):
                with self._open() as device:
                    for row in ROWS:
                        device.predict(row)
                        self.made += 1
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def finish(self) -> None:
        """Stop, and deliver what waits."""
        self.stop()
        if self.error is not None:
            raise RuntimeError(f"device {self.name} ended by itself") from self.error
        with self._open() as device:
            wait_for(lambda: self._delivered(device), "the outbox to be empty", every=0.2)

    @staticmethod
    def _delivered(device: EdgeDevice) -> bool:
        device.sync()
        return device.status()["waiting"] == 0


def counts(reporters: list[Reporter], counted: Mapping[str, int]) -> list[Count]:
    """Compare what devices made with what a hub counted, by name of the device."""
    return [Count(reporter.made, int(counted.get(reporter.name, 0))) for reporter in reporters]
