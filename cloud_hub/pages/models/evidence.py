"""Evidence and other documents as short figures for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cloud_hub.web.wording import ShownFigure, plain_name, signal_name, value_text, words_of

MOST: Final = 24
"""Figures of one document that are shown."""

FEW: Final = 5
"""Values of a document within a list that are shown, the first; the API has them all."""

_MANY: Final = (Mapping, list, tuple)

LONGEST: Final = 300
"""Characters of one value that are shown."""


def pairs_of(document: Mapping[str, Any]) -> list[ShownFigure]:
    """Return the values of a document as figures, those within others by both names."""
    return list(_pairs(document, ""))[:MOST]


def _pairs(document: Mapping[str, Any], above: str) -> Iterator[ShownFigure]:
    for name, value in document.items():
        words = words_of(name)
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{above}{plain_name(name)} ")
        elif value is not None and value != "" and value != []:
            yield ShownFigure(f"{above}{words.label}", _text(name, value)[:LONGEST], words.hint)


def _text(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return _document_text(value)
    if isinstance(value, list | tuple):
        return "; ".join(_text(name, each) for each in value)
    return value_text(value, words_of(name).unit)


def _document_text(document: Mapping[str, Any]) -> str:
    """A document within a list, such as one of the alarms that a trigger counted."""
    rows = [(name, each) for name, each in document.items() if not isinstance(each, _MANY)]
    about = "".join(f"{signal_name(each)}: " for name, each in rows if name == "signal")
    rest = [
        f"{words_of(name).label} {_text(name, each)}" for name, each in rows if name != "signal"
    ]
    return about + ", ".join(rest[:FEW])
