"""From a trained model to a small, certified release. Names load lazily."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.certification.parity import Tolerances
    from converters.conversion import convert
    from converters.errors import ConversionError
    from converters.release_spec import CascadeTarget

__all__ = ["CascadeTarget", "ConversionError", "Tolerances", "convert"]

_HOMES = {
    "CascadeTarget": "converters.release_spec",
    "ConversionError": "converters.errors",
    "Tolerances": "converters.certification.parity",
    "convert": "converters.conversion",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
