"""The device runtime: predictions from a pack, the on-device model, or the cloud.

Names load lazily: ``import edge_sdk`` costs next to nothing until a device is opened.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.aio.device import AsyncEdgeDevice
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import EdgeError
    from edge_sdk.model.prediction import BatchPrediction, Prediction

__all__ = ["AsyncEdgeDevice", "BatchPrediction", "EdgeDevice", "EdgeError", "Prediction"]

_HOMES = {
    "AsyncEdgeDevice": "edge_sdk.aio.device",
    "BatchPrediction": "edge_sdk.model.prediction",
    "EdgeDevice": "edge_sdk.device",
    "EdgeError": "edge_sdk.errors",
    "Prediction": "edge_sdk.model.prediction",
}


# From version 1.32 on onnxruntime reports its use to its maker, unless it is told not to before it
# is imported. Who wants that says ORT_DISABLE_TELEMETRY=0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
