"""Runs on the emulated device: what it says of a model, as JSON. Only the device package is there.

``python -m tests.deploy.on_device STATE HUB TOKEN MODEL VERSION ROWS.npy`` enrols, or opens again
what was enrolled, syncs until it serves the version, answers the rows one by one and all at once,
and prints its answers.
"""

from __future__ import annotations

import json
import platform
import sys
import time

import numpy as np

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig

PATIENCE = 600.0
"""Seconds that emulated syncs may take."""


def main(state: str, hub: str, token: str, model: str, version: str, rows: str) -> None:
    """Answer, and print."""
    config = DeviceConfig(conversation_seconds=PATIENCE, request_seconds=PATIENCE)
    X = np.load(rows)
    with EdgeDevice(
        state, hub=hub, token=token, model=model, config=config, background=False
    ) as device:
        deadline = time.monotonic() + PATIENCE
        device.sync()  # also where it serves that version: there may be a pack
        while (serving := device.status()["version"]) != version and time.monotonic() < deadline:
            device.sync()
        for _ in range(2):  # what was asked twice is voted for
            answers = [device.predict(row) for row in X]
        said = {
            "machine": platform.machine(),
            "serving": serving,
            "sources": sorted({each.source for each in answers}),
            "labels": [int(each.label) for each in answers],
            "scores": [np.asarray(each.probabilities, np.float64).tolist() for each in answers],
            "together": np.asarray(device.predict_batch(X).probabilities, np.float64).tolist(),
            "errors": device.sync().errors,
        }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
