"""Checks of the fields of an event: an event is taken as a whole or refused as a whole. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from edge_sdk.contract.dtypes import RANGES, STRING, range_of
from edge_sdk.contract.limits import EVENT_TEXT
from edge_sdk.errors import InputError

LARGEST_VALUE: Final = 1e50
"""Bound of numbers in events: sums of any number of them stay finite."""

LARGEST_FLOAT32: Final = float(np.finfo(np.float32).max)

Check = Callable[[Any], Any]
"""Returns a field's value as a plain one; raises :class:`InputError`."""


def check_of(name: str, dtype: str) -> Check:
    """Return the check of the field ``name``, which is declared as ``dtype``."""
    if dtype == STRING:
        return _text_check(name)
    if dtype == "bool":
        return _flag_check(name)
    if dtype in RANGES:
        return _whole_check(name, *range_of(dtype))
    return _number_check(name, LARGEST_FLOAT32 if dtype == "float32" else LARGEST_VALUE)


def _refusal(name: str, expected: str, value: Any) -> InputError:
    return InputError("event", f"event field {name!r:.60}: expected {expected}, got {value!r:.60}")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _text_check(name: str) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, str) and len(value) <= EVENT_TEXT:
            if value.isascii():
                return value if type(value) is str else str(value)
            try:
                value.encode()
            except UnicodeEncodeError:  # a lone surrogate
                pass
            else:
                return str(value)
        raise _refusal(name, f"a text of at most {EVENT_TEXT} characters", value)

    return check


def _flag_check(name: str) -> Check:
    def check(value: Any) -> bool:
        plain = _plain(value)
        if not isinstance(plain, bool):
            raise _refusal(name, "True or False", value)
        return plain

    return check


def _whole_check(name: str, low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is int and low <= value <= high:
            return value
        plain = _plain(value)
        if isinstance(plain, bool) or not isinstance(plain, int) or not low <= plain <= high:
            raise _refusal(name, f"a whole number from {low} to {high}", value)
        return int(plain)

    return check


def _number_check(name: str, most: float) -> Check:
    def check(value: Any) -> float:
        if type(value) is float and -most <= value <= most:  # NaN is not
            return value
        plain = _plain(value)
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            raise _refusal(name, "a number", value)
        if not -most <= plain <= most:
            raise _refusal(name, f"a finite number, at most {most:g} from 0", value)
        return float(plain)

    return check


def checks_of(fields: Mapping[str, str]) -> dict[str, Check]:
    """Return the check of each declared field."""
    return {name: check_of(name, dtype) for name, dtype in fields.items()}
