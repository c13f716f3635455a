"""A declared group gets worse on the candidate alone: real devices, a real hub."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from converters import convert
from edge_sdk import EdgeDevice
from tests.e2e.live import ended, opened
from tests.servers import HubProcess

MODEL = "loans"
RANDOM = np.random.default_rng(0)
GROUP = (np.arange(600) % 5 == 0).astype(np.float32)
X = np.column_stack([RANDOM.normal(size=600), GROUP]).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
UNFAIR = np.where(GROUP == 1, 1 - Y, Y)

POLICY = b"""
reporting: {window: 1s, minimum_observations: 1}
experiment: {steps: [0.5, 1.0], soak: 1h, minimum_labels: 50, minimum_devices: 1}
"""


def publish(hub: HubProcess, folder: Path, version: str, truth: np.ndarray) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, truth)
    made = convert(
        model, X, Y, name=MODEL, version=version, out=folder / version, variants=("float32",),
        groups=["x1:0.5"],
    )  # fmt: skip
    hub.admin.publish(made.folder, hub.key, override="test")


def answer(device: EdgeDevice) -> None:
    for i in range(60):
        prediction = device.predict(X[i])
        device.feedback(prediction.id, label=int(Y[i]))
    device._service.collect(final=True)
    device.sync()


def test_a_group_that_gets_worse_on_the_candidate_alone_is_named(
    hub: HubProcess, tmp_path: Path
) -> None:
    hub.admin.put(f"models/{MODEL}/policy", POLICY)
    publish(hub, tmp_path, "1.0", Y)
    hub.admin.post(f"models/{MODEL}/promote", version="1.0")
    devices = [opened(tmp_path / f"d{i}", hub, MODEL, clock=time.time) for i in range(6)]
    try:
        publish(hub, tmp_path, "1.1", UNFAIR)
        hub.admin.post(f"models/{MODEL}/canary", version="1.1")

        def answer_all() -> None:
            for device in devices:
                answer(device)

        trial = ended(hub, MODEL, answer_all)
        assert trial["status"] == "aborted"
        (guard,) = [g for g in trial["figures"]["guardrails"] if g["name"] == "groups"]
        assert guard["figures"]["group"] == "x1=0.5.."
        (wrong, labelled), (before, _) = guard["figures"]["candidate"], guard["figures"]["control"]
        assert (before, wrong) == (0, labelled)
    finally:
        for device in devices:
            device.close()
