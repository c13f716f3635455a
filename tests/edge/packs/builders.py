"""Packs for tests: random entries, and releases whose outputs are whatever a test needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.contract.manifest import Label, OutputSpec
from edge_sdk.contract.pack import PackHeader
from edge_sdk.model.release import Release
from edge_sdk.packs.writer import write_pack


def with_outputs(
    release: Release, *outputs: OutputSpec, classes: tuple[Label, ...] = ()
) -> Release:
    """``release`` as if its model gave ``outputs``."""
    signature = replace(release.manifest.signature, outputs=outputs, classes=classes)
    return replace(release, manifest=replace(release.manifest, signature=signature))


def value_release(release: Release, dtype: Any = "float32", width: int = 1) -> Release:
    """``release`` as if its model gave one vector ``y`` of ``width`` numbers."""
    return with_outputs(release, OutputSpec("y", dtype, (None, width), "value"))


def random_keys(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def write(
    path: Path, release: Release, keys: Any, answered_by: str = "test 1.0", **more: Any
) -> PackHeader:
    """Write ``more`` outputs by name; the options of ``write_pack`` go by their own names."""
    options = {n: more.pop(n) for n in ("expires", "encodings") if n in more}
    return write_pack(path, release, keys, more, answered_by=answered_by, **options)
