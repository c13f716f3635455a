"""Answers on a GPU, where there is one; ``onnxruntime-gpu`` in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_sdk import EdgeDevice
from tests.edge.builders import make_release, rows, softmax

CUDA = "CUDAExecutionProvider"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        CUDA not in onnxruntime.get_available_providers(),
        reason="needs an NVIDIA GPU, and onnxruntime-gpu in an environment of its own",
    ),
]


def test_each_row_is_copied_to_the_gpu_and_its_own_answer_comes_back(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    with EdgeDevice.offline(release.folder, providers=[(CUDA, {"device_id": 0})]) as device:
        assert device.status()["nodes"] == {CUDA: 2}
        x = rows(32, seed=9)
        for row, expected in zip(x, softmax(x, 0), strict=True):
            assert np.allclose(device.predict(row).probabilities, expected, atol=1e-4)
