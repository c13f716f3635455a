"""Evidence and other documents as short pairs for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MOST: Final = 24
"""Pairs of one document that are shown."""

FEW: Final = 5
"""Values of a document within a list that are shown, the first; the API has them all."""

_MANY: Final = (Mapping, list, tuple)

LONGEST: Final = 300
"""Characters of one value that are shown."""


def pairs_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values of a document with their names, those within others by both names."""
    return list(_pairs(document, ""))[:MOST]


def _pairs(document: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        where = f"{above}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{where} ")
        elif value is not None and value != "" and value != []:
            yield where, _text(value)[:LONGEST]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        shown = [(name, each) for name, each in value.items() if not isinstance(each, _MANY)]
        return ", ".join(f"{name.replace('_', ' ')} {_text(each)}" for name, each in shown[:FEW])
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return str(value)
