"""Bounds of what one report counts, so that no device can make a sum overflow.

A hub adds up reports of many devices over years, in 64 bits. What one message may hold is far more
than any device counts, and far less than what breaks a sum of millions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.limits import (
    LARGEST_COUNT_REPORTED,
    LARGEST_STATE,
    LARGEST_SUM,
    LATEST,
    NAME_CHARACTERS,
    NAMES_PER_REPORT,
    STATE_CHARACTERS,
    STATE_ITEMS,
)


def check_bounds(report: Any, path: str) -> None:
    """Refuse counts, sums or names of a report that are beyond what the contract allows.

    Args:
        report: dataclass of counts, already parsed.
        path: its name in messages.

    Raises:
        ContractError: the message names the field, the bound and the value.
    """
    if report is None or isinstance(report, str):
        return
    if isinstance(report, int | float):
        _check_number(report, path)
    elif isinstance(report, tuple):
        _check_many(report, path)
    elif isinstance(report, Mapping):
        require(len(report) <= NAMES_PER_REPORT, f"{path}: expected at most {NAMES_PER_REPORT}")
        for name, value in report.items():
            _check_name(path, name)
            check_bounds(value, f"{path}.{name}")
    else:
        kind: Any = type(report)
        for name in _names(kind):
            check_bounds(getattr(report, name), f"{path}.{name}")


@functools.cache
def _names(cls: Any) -> tuple[str, ...]:
    """Names of the fields of a dataclass, none of another class."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return tuple(field.name for field in fields)


def check_small(state: Any, path: str) -> None:
    """Refuse a device's state whose texts, lists or numbers are larger than any device's are.

    Args:
        state: dataclass of texts, counts, and lists and mappings of texts, already parsed.
        path: its name in messages.

    Raises:
        ContractError: the message names the field and the bound.
    """
    for field in dataclasses.fields(state):
        value, where = getattr(state, field.name), f"{path}.{field.name}"
        if isinstance(value, int | float):
            fits = 0 <= value <= LARGEST_STATE
            require(fits, f"{where}: expected 0 to {LARGEST_STATE}, got {value}")
            continue
        if isinstance(value, Mapping) and any(map(dataclasses.is_dataclass, value.values())):
            for name, part in value.items():
                check_small(part, f"{where}.{name}")
            continue
        items = [value] if isinstance(value, str) else list(value or ())
        require(len(items) <= STATE_ITEMS, f"{where}: expected at most {STATE_ITEMS}")
        items += value.values() if isinstance(value, Mapping) else ()
        longest = max((len(item) for item in items), default=0)
        require(
            longest <= STATE_CHARACTERS, f"{where}: expected at most {STATE_CHARACTERS} characters"
        )


def check_time(what: str, seconds: int) -> None:
    """Refuse a time before 1970, or after every calendar.

    Args:
        what: name of the time in the message.
        seconds: Unix seconds.

    Raises:
        ContractError: it is one.
    """
    require(0 <= seconds <= LATEST, f"{what}: expected 0 to {LATEST} Unix seconds, got {seconds}")


def _check_many(values: tuple[Any, ...], path: str) -> None:
    if {int} >= {*map(type, values)}:  # a histogram: two numbers say all about the others
        values = (min(values), max(values)) if values else ()
    for value in values:
        check_bounds(value, path)


def _check_name(path: str, name: str) -> None:
    # Groups have the names that a release declares, which may be long; others have short ones.
    fits = len(name) <= 4 * NAME_CHARACTERS
    require(fits, f"{path}: expected names of at most {4 * NAME_CHARACTERS} characters")


def _check_number(number: float, path: str) -> None:
    largest = LARGEST_COUNT_REPORTED if isinstance(number, int) else LARGEST_SUM
    if abs(number) > largest:
        raise ContractError(
            f"{path}: expected at most {largest:.3g} either side of 0, got {number}"
        )
