"""Checks of the arguments of public calls other than the input itself.

One rule per argument; each raises :class:`InputError`. Calls without these arguments never get
here, so nothing in this module is on the path of a plain prediction.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.errors import EdgeError, InputError

LARGEST: Final = 1e50
"""Bound of rewards and numeric labels: sums of fourth powers of errors stay finite."""

KEY_CHARACTERS: Final = 256
"""Longest key of an A/B by key."""

MOST_DIGITS: Final = 18
"""Digits of a prediction's number; int() refuses texts of thousands."""

DEADLINE_MS: Final = 3_600_000
"""Longest deadline of a prediction: an hour."""


def check_unit(unit: Any) -> None:
    """Refuse a unit that cannot be a key, whether or not an experiment runs."""
    fits = isinstance(unit, str) and 0 < len(unit) <= KEY_CHARACTERS
    if not fits or not (unit.isascii() or _encodes(unit)):
        raise InputError(
            "unit", f"unit: expected a text of 1 to {KEY_CHARACTERS} characters, got {unit!r:.60}"
        )


def is_number(text: str) -> bool:
    """Return whether a text may be the number of a prediction, or of a row of a batch."""
    return text.isdecimal() and len(text) <= MOST_DIGITS


def deadline_of(deadline_ms: Any) -> float:
    """Return a deadline in milliseconds as seconds."""
    # True would count as 1 ms.
    wait = math.nan if isinstance(deadline_ms, bool) else number_of(deadline_ms)
    if not 0 <= wait <= DEADLINE_MS:  # NaN is not
        raise InputError(
            "deadline",
            f"deadline_ms: expected milliseconds from 0 to {DEADLINE_MS}, got {deadline_ms!r:.60}",
        )
    return wait / 1e3


def reward_of(reward: Any) -> float:
    """Return a reward as a float."""
    number = number_of(reward)
    if not abs(number) <= LARGEST:  # NaN is not
        raise InputError(
            "label",
            f"expected a finite number as reward, at most {LARGEST:g} from 0, got {reward!r:.60}",
        )
    return number


def label_of(label: Any) -> str | bool | int | float:
    """Return a label as a plain Python value, several of them as a :class:`LabelSet`.

    The release checks that they are its classes.
    """
    if isinstance(label, list | tuple | Set) or (isinstance(label, np.ndarray) and label.ndim == 1):
        return LabelSet.of(_one_label(each) for each in label)
    return _one_label(label)


def _one_label(label: Any) -> str | bool | int | float:
    plain = label.item() if isinstance(label, np.generic) else label
    if isinstance(plain, str) or (isinstance(plain, int | float) and abs(plain) <= LARGEST):
        return plain
    raise InputError("label", f"expected a class or a finite number as label, got {label!r:.60}")


def check_length(length: Any) -> None:
    """Refuse a length that is not a positive integer."""
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
    if not whole or length < 1:
        raise InputError("length", f"length: expected at least 1, got {length!r:.60}")


def candidates_of(candidates: Any) -> tuple[Hashable, ...]:
    """Return the items to rank, in the order of their rows."""
    items = _items("candidates", candidates)
    if isinstance(candidates, Set):
        raise InputError("candidates", "candidates: expected a list; a set has no order")
    if len(set(items)) != len(items):
        raise InputError("candidates", "candidates: expected each once")
    return items


def clicks_of(clicks: Any) -> tuple[Hashable, ...]:
    """Return the items that were clicked on, perhaps none."""
    return _items("clicks", clicks)


def _items(what: str, items: Any) -> tuple[Hashable, ...]:
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise InputError(what, f"{what}: expected a list of items, got {items!r:.60}")
    listed = tuple(np.atleast_1d(items) if isinstance(items, np.ndarray) else items)
    try:
        # Items are keys of dicts later; a list of lists is found out here.
        hash(listed)
    except TypeError:
        raise InputError(what, f"{what}: expected names or numbers, got {listed!r:.60}") from None
    return listed


def path_of(what: str, path: Any, refusal: type[EdgeError]) -> Path:
    """Return ``path`` as a Path.

    Args:
        what: name of the argument, for the message.
        path: a ``str`` or an ``os.PathLike`` of text.
        refusal: class of the error for anything else, such as a path with a NUL character.
    """
    if isinstance(path, str | os.PathLike):
        text = os.fspath(path)
        if isinstance(text, str) and "\0" not in text and _encodes(text):
            return Path(text)
    raise refusal(f"{what}: expected a path, got {path!r:.60}")


def number_of(value: Any) -> float:
    """Return ``value`` as a float; NaN if it is not a number (``"3"`` is not one)."""
    try:
        return math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def check_model_name(name: object) -> None:
    """Raise InputError where ``name`` cannot be that of a model."""
    if not isinstance(name, str):
        raise InputError("model", f"expected the name of a model, got {name!r:.60}")
