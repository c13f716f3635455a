"""Several labels of one answer as one text, by which answers are counted and compared.

A multilabel answer is right where all its labels are; so to telemetry the set is what a label is
to a classifier: a category of the profile, and what a late label is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

NONE: Final = "(none)"
"""The text of an answer without labels."""


class LabelSet(str):
    """Labels in the order of their texts, joined by ``+``; equal sets are equal texts."""

    labels: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[object]) -> LabelSet:
        """Return the set of some labels, of which each counts once."""
        texts = tuple(sorted({str(label) for label in labels}))
        made = cls(" + ".join(texts) or NONE)
        made.labels = texts
        return made

    @classmethod
    def parse(cls, text: str) -> LabelSet:
        """Return the set that a text lists in any order, as ``"dog + cat"`` does."""
        return cls.of(() if text in ("", NONE) else (each.strip() for each in text.split(" + ")))
