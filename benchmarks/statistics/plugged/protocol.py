"""The two protocols, and how functions that others name are found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.samples import Floats, Sample

Alarms = NDArray[np.bool_]
Verdicts = NDArray[np.int_]
Detect = Callable[[Floats, Floats], Alarms]
"""``detect(reference [rows], windows [windows, devices, rows])`` to alarms [windows]."""

Decide = Callable[[Sample, Sample], Verdicts]
"""``decide(control [looks, devices], candidate)`` to verdicts [looks] of -1, 0 and 1."""


def named(functions: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Return the functions that ``module:function`` name.

    Raises:
        SystemExit: there is no such module or function; the message says which.
    """
    return {name: _find(name) for name in functions}


def _find(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as e:
        raise SystemExit(
            f"--plug: expected MODULE:FUNCTION that can be imported, got {name}"
        ) from e
    if not callable(found):
        raise SystemExit(f"--plug: expected a function, got {name}, which is none")
    return found  # type: ignore[no-any-return]
