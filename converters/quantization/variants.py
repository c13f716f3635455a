"""Smaller files of the same model. Whether they pay is measured, not assumed.

Storage variants (:mod:`converters.quantization.weight_storage`) keep weights in fewer bits and
compute in float32: small on disk, float speed. ``optimised`` is float32 in fewer steps.
``int8-dynamic`` and ``int8-static-*`` compute in int8, ``float16`` in half precision: faster on
some machines, slower on others. ``mixed`` gives each matrix as few bits as the answers allow.
``compact-trees`` is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from converters.quantization.calibration import METHODS
from converters.quantization.dynamic_int8 import int8_dynamic
from converters.quantization.guide import Guide
from converters.quantization.half_precision import float16
from converters.quantization.mixed_precision import mixed
from converters.quantization.optimised import optimised
from converters.quantization.static_int8 import int8_static
from converters.quantization.weight_storage import float16_storage, int4_storage, int8_storage
from converters.trees.compact import coarse, compact

EXACT: Final = ("float32", "compact-trees")
"""Variants that must answer as the original does, up to rounding."""

Maker = Callable[[Any, Guide], Any | None]


def _static(name: str) -> Maker:
    return lambda proto, guide: int8_static(proto, guide, name)


VARIANTS: Final[Mapping[str, Maker]] = {
    "float32": lambda proto, guide: proto,
    "optimised": lambda proto, guide: optimised(proto),
    "float16-storage": lambda proto, guide: float16_storage(proto),
    "int8-storage": lambda proto, guide: int8_storage(proto),
    "int4-storage": lambda proto, guide: int4_storage(proto),
    "mixed": lambda proto, guide: mixed(proto, guide.badness),
    "int8-dynamic": lambda proto, guide: int8_dynamic(proto),
    **{name: _static(name) for name in METHODS},
    "float16": lambda proto, guide: float16(proto),
    "compact-trees": lambda proto, guide: compact(proto),
    "rounded-trees": lambda proto, guide: coarse(proto),
}
"""Maker of each variant; it returns ``None`` if the model has nothing that could be smaller."""

DEFAULT: Final = (
    *("float32", "optimised", "float16-storage", "int8-storage", "int8-dynamic"),
    *("int8-static-minmax", "compact-trees"),
)
"""Variants that are tried by default; the others cost accuracy or time more often than they pay."""

FOR_FILES: Final = ("optimised", "int8-static-minmax")
"""Those of the defaults that pay for networks which somebody else exported, and not for ours."""

FROM_THE_EXPORT: Final = ("optimised", "compact-trees", "rounded-trees")
"""Variants that are made of the model as it was exported; the others of ``optimised``, if that
answers alike."""
