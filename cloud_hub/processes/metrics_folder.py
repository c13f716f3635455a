"""Metrics of all workers in one folder, where each adds its own.

A worker's files have the number of its place, not that of its process: whoever takes the place of
one that has ended goes on counting where that one was. So sums never fall, and there are as many
files however often workers are replaced.
"""

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


def count_as(place: int) -> None:
    """Have this process count in the files of a place; before it makes its first metric.

    Args:
        place: of the worker among all, from 0.
    """
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: place)  # type: ignore[no-untyped-call]
