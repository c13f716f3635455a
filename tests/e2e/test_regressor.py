"""A regressor's way through the loop: late labels of numbers, on real devices of a real hub."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from converters import convert
from edge_sdk import EdgeDevice
from tests.e2e.live import ended, opened
from tests.servers import HubProcess

MODEL, BOUNDED = "numbers", "bounded"
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 3)).astype(np.float32)
Y = X @ [1.0, -2.0, 0.5]

POLICY = b"""
reporting: {window: 1s, minimum_observations: 1, right_within: 0.5}
experiment: {steps: [0.5, 1.0], soak: 0s, minimum_labels: 50}
"""


def publish(hub: HubProcess, folder: Path, version: str, shift: float, name: str = MODEL) -> None:
    model = LinearRegression().fit(X, Y + shift)
    made = convert(
        model, X, Y, name=name, version=version, out=folder / version, variants=("float32",)
    )
    hub.admin.publish(made.folder, hub.key, override="test")


def answer(device: EdgeDevice) -> None:
    for i in range(40):
        prediction = device.predict(X[i])
        device.feedback(prediction.id, label=float(Y[i]))
    device._service.collect(final=True)
    device.sync()


BY_ERROR = b"""
reporting: {window: 1s, minimum_observations: 1}
experiment: {steps: [0.5, 1.0], soak: 0s, minimum_labels: 50, metric: mae, margin: 0.2,
  minimum_devices: 1}
"""
"""No number is right or wrong: what is judged is how far off they are."""


def test_a_regressor_is_judged_by_its_errors_and_one_broken_label_changes_nothing(
    hub: HubProcess, tmp_path: Path
) -> None:
    hub.admin.put(f"models/{MODEL}/policy", BY_ERROR)
    publish(hub, tmp_path, "1.0", shift=0.0)
    hub.admin.post(f"models/{MODEL}/promote", version="1.0")
    bound = hub.admin.get(f"models/{MODEL}/plan")["reporting"]["largest_error"]
    assert bound == pytest.approx(Y.max() - Y.min(), rel=0.1)
    devices = [opened(tmp_path / f"d{i}", hub, MODEL, clock=time.time) for i in range(6)]
    try:
        publish(hub, tmp_path, "1.1", shift=12.0)
        hub.admin.post(f"models/{MODEL}/canary", version="1.1")

        def answer_all() -> None:
            for device in devices:
                device.feedback(device.predict(X[0]).id, label=1e9)
                answer(device)

        trial = ended(hub, MODEL, answer_all)
        assert trial["status"] == "aborted"
        reasons = ("candidate is farther off", "mae of candidate")
        assert any(reason in trial["reason"] for reason in reasons), trial["reason"]
        windows = hub.admin.get(f"models/{MODEL}/telemetry")["windows"]
        off = {w["version"]: w["mae"] for w in windows if w["measured"] >= 40}
        assert off["1.0"] < 1 < 10 < off["1.1"]
    finally:
        for device in devices:
            device.close()


def test_a_regressor_that_is_off_is_taken_back_by_its_late_labels(
    hub: HubProcess, tmp_path: Path
) -> None:
    hub.admin.put(f"models/{BOUNDED}/policy", POLICY)
    publish(hub, tmp_path, "1.0", shift=0.0, name=BOUNDED)
    hub.admin.post(f"models/{BOUNDED}/promote", version="1.0")
    devices = [opened(tmp_path / f"d{i}", hub, BOUNDED, clock=time.time) for i in range(6)]
    try:
        publish(hub, tmp_path, "1.1", shift=2.0, name=BOUNDED)
        hub.admin.post(f"models/{BOUNDED}/canary", version="1.1")

        def answer_all() -> None:
            for device in devices:
                answer(device)

        trial = ended(hub, BOUNDED, answer_all)
        assert trial["status"] == "aborted"
        # Of few devices the interval of the difference may be sure before the guardrail is.
        reasons = ("more wrong labels", "accuracy of candidate")
        assert any(reason in trial["reason"] for reason in reasons), trial["reason"]
        for device in devices:
            device.sync()
        assert {device.status()["version"] for device in devices} == {"1.0"}
    finally:
        for device in devices:
            device.close()
