"""From a trained model to a small, certified release. Names load lazily."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.certification.parity import Tolerances
    from converters.conversion import convert
    from converters.errors import ConversionError
    from converters.options import Calibration, Data, Metadata, Search
    from converters.preprocessing.picture import Picture
    from converters.preprocessing.spectrogram import Spectrogram
    from converters.preprocessing.tokenizer import Tokenizer
    from converters.release_spec import CascadeTarget
    from converters.sources.onnx_signature import OnnxLayout

__all__ = [
    "Calibration",
    "CascadeTarget",
    "ConversionError",
    "Data",
    "Metadata",
    "OnnxLayout",
    "Picture",
    "Search",
    "Spectrogram",
    "Tokenizer",
    "Tolerances",
    "convert",
]

_MODULES = {
    "Calibration": "converters.options",
    "CascadeTarget": "converters.release_spec",
    "ConversionError": "converters.errors",
    "Data": "converters.options",
    "Metadata": "converters.options",
    "OnnxLayout": "converters.sources.onnx_signature",
    "Picture": "converters.preprocessing.picture",
    "Search": "converters.options",
    "Spectrogram": "converters.preprocessing.spectrogram",
    "Tokenizer": "converters.preprocessing.tokenizer",
    "Tolerances": "converters.certification.parity",
    "convert": "converters.conversion",
}

# A library leaves it to the application where its log goes; without this, warnings reach stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
