"""Lowering of fitted estimators to ONNX: ours where it is exact, skl2onnx's for the rest.

Begin reading at :mod:`converters.lowering.registry`. Each other module holds one family of
estimators and registers its lowerings when it is imported; :func:`load` imports them all.
"""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "structure",
    "linear",
    "kernels",
    "neighbours",
    "nearest",
    "gaussian",
    "support_vectors",
    "ensembles",
    "calibration",
    "multiclass",
    "constants",
    "preprocess",
    "scalers",
    "shapes",
    "encoders",
    "impute",
    "text",
    "trees",
)


def load() -> None:
    """Import every module that registers lowerings."""
    for name in MODULES:
        importlib.import_module(f"converters.lowering.{name}")
