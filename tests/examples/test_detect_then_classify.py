"""Two models, one after the other, on one device: as the example's docstring says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from edge_sdk import EdgeDevice
from examples.detect_then_classify import crop, pictures, read, read_all
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


def test_what_the_detector_finds_is_what_the_classifier_reads(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.detect_then_classify", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stderr == ""
    assert "models: detector, digits; the first picture holds a 2" in done.stdout
    assert "an empty picture holds None" in done.stdout
    share = re.search(r"digits that were read: (\S+)", done.stdout)
    assert share is not None
    assert float(share[1]) > 0.9
    # The empty picture went no further than the detector.
    assert "detector 1.0 made 452 predictions" in done.stdout
    assert "digits 1.0 made 451 predictions" in done.stdout

    with EdgeDevice.offline([tmp_path / "detector-1.0", tmp_path / "digits-1.0"]) as device:
        digit = np.zeros((8, 8), np.float32)
        digit[:, 3:5] = 16  # a one
        many, places = pictures(np.stack([digit] * 9), seed=5)
        assert read_all(device, many).tolist() == [read(device, picture)[0] for picture in many]
        found = device.model("detector").predict_batch(many.reshape(9, -1) / 16).labels
        assert found is not None
        assert found.tolist() == places.tolist()
        assert all(crop(p, place).max() > 15 for p, place in zip(many, places, strict=True))
