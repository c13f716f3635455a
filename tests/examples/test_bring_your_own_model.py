"""The example of a model of one's own runs as its docstring says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge_sdk.model.release import Release
from tests.waiting import PATIENCE


def test_the_example_converts_and_predicts(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "examples.bring_your_own_model", tmp_path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    release = Release.open(tmp_path / "wine-1.0")
    assert (
        f"accuracy on the device's runtime: {release.manifest.metrics['score']:.3f}" in done.stdout
    )
    assert done.stderr == ""
