"""A device that kills itself at a named step of its update: ``STATE HUB TOKEN MODEL STEP``."""

from __future__ import annotations

import os
import signal
import sys

from edge_sdk import EdgeDevice
from tests.e2e.live import PATIENT


def main() -> None:
    state, hub, token, model, step = sys.argv[1:]
    device = EdgeDevice(
        state, hub=hub, token=token or None, model=model, config=PATIENT, background=False
    )
    assert device._link is not None

    def checkpoint(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    device._models.own._link.updater._checkpoint = checkpoint
    device.sync()
    print(device.status()["version"])
    device.close()


if __name__ == "__main__":
    main()
