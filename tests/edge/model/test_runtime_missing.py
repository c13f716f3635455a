"""The core package brings no runtime; without one, the first use says what to install."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import PATIENCE

HIDE = "import sys; sys.modules['onnxruntime'] = None\n"


def test_without_a_runtime_a_device_says_what_to_install() -> None:
    code = HIDE + "from edge_sdk import EdgeDevice"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "RuntimeMissing: no distribution of onnxruntime is installed" in last
    assert "pip install edge-deployment-sdk" in last


def test_it_is_an_error_of_this_package_and_an_import_error() -> None:
    code = HIDE + (
        "from edge_sdk import EdgeError\n"
        "try:\n    from edge_sdk import EdgeDevice\n"
        "except EdgeError as error:\n    assert isinstance(error, ImportError)\n"
        "else:\n    raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
