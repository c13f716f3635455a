"""One labelled input that is no table, as a device sends it whose owner agreed to share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import TENSOR_SAMPLE_BYTES, VALUE_AXES
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.names import Version, check_name
from edge_sdk.contract.version import REPORT_FORMAT

TENSORS: Final = 64
"""Inputs of one release whose values may be shared."""


@dataclass(frozen=True)
class TensorSample:
    """Opt-in: one input of tensors and its label, for retraining.

    ``shapes`` has the shape of each input tensor by name, with an axis of one row where the release
    has that axis. ``data`` is base64 of a zstd frame: the values of all tensors in the order of
    their names, little-endian. ``taken`` is when it was predicted, Unix seconds.
    """

    model: str
    version: str
    shapes: Mapping[str, tuple[int, ...]]
    data: str
    label: Label | float
    taken: int
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        require(1 <= len(self.shapes) <= TENSORS, f"shapes: expected 1 to {TENSORS} tensors")
        for name, shape in self.shapes.items():
            fits = len(shape) <= VALUE_AXES and all(0 <= size < 1 << 31 for size in shape)
            require(fits, f"shapes: {name!r:.60}: expected at most {VALUE_AXES} sizes from 0 on")
        most = TENSOR_SAMPLE_BYTES
        require(len(self.data) * 3 // 4 <= most + 2, f"data: expected at most {most} bytes")
