"""ONNX forms of scikit-learn estimators: ours where they are exact, skl2onnx's for the rest.

Begin reading at :mod:`converters.lowering.registry`; :func:`load` makes all forms known.
"""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "structure",
    "linear",
    "kernels",
    "neighbours",
    "ensembles",
    "calibration",
    "multiclass",
    "constants",
    "preprocess",
    "scalers",
    "encoders",
    "impute",
    "text",
    "trees",
)


def load() -> None:
    """Import every module that registers forms."""
    for name in MODULES:
        importlib.import_module(f"converters.lowering.{name}")
