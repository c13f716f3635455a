"""A shadow of a converted model that takes several tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from edge_sdk import EdgeDevice
from tests.e2e.device.test_tensors import release_of, value
from tests.edge.experiments.test_shadow import FEEDS, compared


def test_feeds_of_several_tensors_are_answered_beside_too(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"])
    specs = [value(name, "float32", [None, 3]) for name in "aby"]
    feeds = [{name: np.ones((1, 3), np.float32) for name in "ab"}]
    release = release_of(tmp_path, [node], specs[:2], specs[2:], feeds, output="values")
    with EdgeDevice.offline(release.folder, shadow=release.folder) as device:
        for _ in range(FEEDS):
            device.predict(feeds[0])
        assert compared(device, FEEDS) == FEEDS
