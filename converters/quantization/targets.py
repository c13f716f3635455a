"""Machines that releases are made for, by the oldest onnxruntime that they are expected to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from converters.errors import ConversionError


@dataclass(frozen=True)
class Target:
    """Limits of a kind of machine.

    Attributes:
        name: of the target.
        runtime: the oldest onnxruntime there.
        ir_version: the newest that it reads.
        opsets: the newest operator set of each domain that it knows.
        about: description for people.
        float16: whether its processor computes in half precision.
    """

    name: str
    runtime: str
    ir_version: int
    opsets: Mapping[str, int]
    about: str
    float16: bool = False

    def refuses(self, proto: Any) -> str:
        """Return what this target cannot run of a model; empty if it can run all of it."""
        if proto.ir_version > self.ir_version:
            return f"{self.name}: IR version {proto.ir_version}, its newest is {self.ir_version}"
        for entry in proto.opset_import:
            newest = self.opsets.get(entry.domain, 0)
            if entry.version > newest:
                domain = entry.domain or "ai.onnx"
                return f"{self.name}: needs {domain} {entry.version}, its newest is {newest}"
        return ""


# The newest operator sets that each onnxruntime release implements, by domain.
_1_20: Final = {"": 21, "ai.onnx.ml": 4, "com.microsoft": 1}
_1_21: Final = {"": 21, "ai.onnx.ml": 5, "com.microsoft": 1}
_1_17: Final = {"": 20, "ai.onnx.ml": 4, "com.microsoft": 1}

TARGETS: Final = {
    target.name: target
    for target in (
        Target("any", "1.20", 10, _1_20, "anything that runs the oldest onnxruntime we support"),
        Target("pi4", "1.21", 10, _1_21, "Raspberry Pi 4 or 5, 64-bit"),
        Target("pi3", "1.20", 10, _1_20, "Raspberry Pi 3, 64-bit"),
        Target("jetson", "1.20", 10, _1_20, "NVIDIA Jetson, on its CPU", float16=True),
        Target("laptop", "1.21", 10, _1_21, "x86-64, of the last ten years"),
        Target("legacy", "1.17", 9, _1_17, "images that were never updated"),
    )
}


def target_of(name: str) -> Target:
    """Return the target of this name.

    Raises:
        ConversionError: there is none; the message lists those that there are.
    """
    if name not in TARGETS:
        targets = ", ".join(f"{t.name} ({t.about})" for t in TARGETS.values())
        raise ConversionError(f"target: expected one of {targets}; got {name!r}")
    return TARGETS[name]
