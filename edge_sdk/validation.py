"""What an application gives to a call beside its input: one rule for each, one clear error.

Each raises :class:`InputError`. A call that is given none of it never comes here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_sdk.errors import EdgeError, InputError

LARGEST: Final = 1e50
"""Rewards and numeric labels: the squares of squared errors, and sums of those, stay finite."""

KEY_CHARACTERS: Final = 256
DEADLINE_MS: Final = 3_600_000
"""An hour."""


def check_unit(unit: Any) -> None:
    """Refuse what cannot be a key, experiment or not."""
    if not isinstance(unit, str) or not 0 < len(unit) <= KEY_CHARACTERS or not _encodes(unit):
        raise InputError(
            "unit", f"unit: expected a text of 1 to {KEY_CHARACTERS} characters, got {unit!r:.60}"
        )


def deadline_of(deadline_ms: Any) -> float:
    """Seconds of a deadline in milliseconds."""
    wait = math.nan if isinstance(deadline_ms, bool) else number_of(deadline_ms)
    if not 0 <= wait <= DEADLINE_MS:  # NaN is not
        raise InputError(
            "deadline",
            f"deadline_ms: expected milliseconds from 0 to {DEADLINE_MS}, got {deadline_ms!r:.60}",
        )
    return wait / 1e3


def reward_of(reward: Any) -> float:
    """A reward as a number."""
    number = number_of(reward)
    if not abs(number) <= LARGEST:  # NaN is not
        raise InputError(
            "label",
            f"expected a finite number as reward, at most {LARGEST:g} from 0, got {reward!r:.60}",
        )
    return number


def label_of(label: Any) -> str | bool | int | float:
    """A label as a plain value; whether it is one of the classes is for the release to say."""
    plain = label.item() if isinstance(label, np.generic) else label
    if isinstance(plain, str) or (isinstance(plain, int | float) and abs(plain) <= LARGEST):
        return plain
    raise InputError("label", f"expected a class or a finite number as label, got {label!r:.60}")


def check_length(length: Any) -> None:
    """Refuse what is no number of items."""
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
    if not whole or length < 1:
        raise InputError("length", f"length: expected at least 1, got {length!r:.60}")


def candidates_of(candidates: Any) -> tuple[Hashable, ...]:
    """What is to be ranked, in the order of its rows."""
    items = _items("candidates", candidates)
    if isinstance(candidates, Set):
        raise InputError("candidates", "candidates: expected a list; a set has no order")
    if len(set(items)) != len(items):
        raise InputError("candidates", "candidates: expected each once")
    return items


def clicks_of(clicks: Any) -> tuple[Hashable, ...]:
    """The items that were clicked on, perhaps none."""
    return _items("clicks", clicks)


def _items(what: str, items: Any) -> tuple[Hashable, ...]:
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise InputError(what, f"{what}: expected a list of items, got {items!r:.60}")
    kept = tuple(np.atleast_1d(items) if isinstance(items, np.ndarray) else items)
    try:
        hash(kept)
    except TypeError:
        raise InputError(what, f"{what}: expected names or numbers, got {kept!r:.60}") from None
    return kept


def path_of(what: str, path: Any, refusal: type[EdgeError]) -> Path:
    """A path; what is none raises ``refusal``, as does what no file system could hold."""
    if isinstance(path, str | os.PathLike):
        text = os.fspath(path)
        if isinstance(text, str) and "\0" not in text and _encodes(text):
            return Path(text)
    raise refusal(f"{what}: expected a path, got {path!r:.60}")


def number_of(value: Any) -> float:
    """``value`` as a float; NaN for what is none, a text that reads like one included."""
    try:
        return math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
