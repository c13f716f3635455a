"""Answers of a release to a table of many rows, in calls that fit into memory.

One call with all rows would keep every layer's output for all of them: for two hundred pictures
that is gigabytes.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np

from converters.onnx_export import external_weights
from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.runtime import session_options
from edge_sdk.model.session import Model

ROWS: Final = 512
"""Rows of one call, at most."""

BYTES: Final = 1 << 20
"""Bytes of the inputs of one call, at most, but always one row."""

LARGE: Final = 1 << 20
"""From so many bytes on a model answers with all cores; a device's own single thread gives the
same, later."""


def answering(release: Release) -> Model:
    """Load the model of ``release`` for many rows."""
    threads = (os.cpu_count() or 1) if release.model_path.stat().st_size >= LARGE else 1
    return load_mapped(release, RuntimeOptions(threads=threads))


def load_mapped(release: Release, options: RuntimeOptions = RuntimeOptions()) -> Model:
    """Load the model of ``release``; of a large one the weights are mapped, and not read.

    It answers the same, and takes half of the memory while it is loaded.
    """
    if release.model_path.stat().st_size < external_weights.LARGE:
        return Model.load(release, options)
    import onnxruntime

    native = session_options(options, release.manifest.runtime.opsets)
    try:
        with external_weights.loadable(external_weights.load(release.model_path)) as source:
            session = onnxruntime.InferenceSession(
                source, native, providers=list(options.providers)
            )
    except Exception as error:  # onnxruntime has an error of its own for each kind of trouble
        raise ReleaseError(f"onnxruntime cannot load it; {error}") from error
    return Model(release, session)


def rows_of_a_call(feed: Feed, rows: int) -> int:
    """Return how many of the ``rows`` of a feed one call takes."""
    bytes_a_row = sum(array.nbytes for array in feed.values()) / rows
    return int(min(ROWS, max(1.0, BYTES / bytes_a_row)))


def answers_to(release: Release, feed: Feed) -> Feed:
    """Return the answers of ``release`` to the rows of ``feed``, by output name."""
    model, rows = answering(release), len(next(iter(feed.values())))
    size = rows_of_a_call(feed, rows)
    if size >= rows:
        return model.run(feed)
    parts = [
        model.run({name: array[start : start + size] for name, array in feed.items()})
        for start in range(0, rows, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
