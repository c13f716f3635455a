"""Answers of a release to many rows, in calls that fit into memory.

One call with all rows would keep every layer's output for all of them: for two hundred pictures
that is gigabytes.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np

from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.session import Model, fixed_batch

ROWS: Final = 512
"""Rows of one call, at most."""

BYTES: Final = 1 << 20
"""Bytes of the inputs of one call, at most, but always one row."""

LARGE: Final = 1 << 20
"""From so many bytes on a model answers with all cores; a device's own single thread gives the
same, later."""


def answers_to(release: Release, feed: Feed) -> Feed:
    """Return the answers of ``release`` to the rows of ``feed``, by output name."""
    threads = (os.cpu_count() or 1) if release.model_path.stat().st_size >= LARGE else 1
    model = Model.load(release, RuntimeOptions(threads=threads))
    signature = release.manifest.signature
    if not signature.batched or signature.state:
        return model.run(feed)
    rows = len(next(iter(feed.values())))
    size = _rows_a_call(feed, rows, fixed_batch(signature))
    if size >= rows:
        return model.run(feed)
    parts = [
        model.run({name: array[start : start + size] for name, array in feed.items()})
        for start in range(0, rows, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows_a_call(feed: Feed, rows: int, block: int | None) -> int:
    bytes_a_row = sum(array.nbytes for array in feed.values()) / rows
    size = int(min(ROWS, max(1.0, BYTES / bytes_a_row)))
    # A file of fixed size is run in its own blocks: a rest that is filled up costs as much.
    return size if block is None else max(1, size // block) * block
