"""Metrics of all workers in one folder, where each adds its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edge_sdk.system.files import make_folder


def share_metrics(folder: Path) -> None:
    """Let ``prometheus_client`` of every worker that is started from now on write to a folder.

    Args:
        folder: emptied, since what is in it is of workers that are gone.
    """
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
