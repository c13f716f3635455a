"""Lowering of fitted estimators to ONNX: ours where it is exact, skl2onnx's for the rest.

Begin reading at :mod:`converters.lowering.registry`. Each module of ``transformers``, ``models``
and ``meta_estimators`` holds one family of estimators and registers its lowerings when it is
imported; :func:`load` imports them all.
"""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "meta_estimators.structure",
    "models.linear",
    "models.kernels",
    "models.neighbours",
    "models.nearest",
    "models.gaussian",
    "models.support_vectors",
    "meta_estimators.ensembles",
    "meta_estimators.calibration",
    "meta_estimators.multiclass",
    "models.constants",
    "transformers.preprocess",
    "transformers.scalers",
    "transformers.shapes",
    "transformers.encoders",
    "transformers.impute",
    "transformers.text",
    "models.trees",
)


def load() -> None:
    """Import every module that registers lowerings."""
    for name in MODULES:
        importlib.import_module(f"converters.lowering.{name}")
