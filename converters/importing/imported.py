"""A model of another tool, as :func:`converters.convert` takes it, with what came along."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError

LONGEST: Final = 500
MOST: Final = 200
"""Characters of a text, and texts and numbers of a kind, that come along."""


@dataclass(frozen=True)
class ImportedModel:
    """A model, and what its tool said of it.

    Attributes:
        model: path of a file that ``convert`` reads, or a module.
        source: where it came from, for people.
        origin: parameters, tags and names, as texts by name.
        reported: metrics of its training, by name.
        licence: SPDX identifier, if the tool had one.
        classes: what its classes are called, in order; empty where it has none.
    """

    model: Path | Any
    source: str
    origin: Mapping[str, str] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    licence: str | None = None
    classes: Sequence[str] = ()

    def layout(self) -> dict[str, Any]:
        """Return the keywords of ``convert`` that say what the outputs mean; none if unknown."""
        return {"output": "logits", "classes": [*self.classes]} if self.classes else {}

    def named_labels(self, labels: Any) -> Any:
        """Return labels [N] by what their classes are called, where they are numbers of classes."""
        import numpy as np

        numbers_ = np.asarray(labels) if self.classes and labels is not None else None
        if numbers_ is None or numbers_.dtype.kind not in "iu" or numbers_.ndim != 1:
            return labels
        if numbers_.size and not 0 <= numbers_.min() <= numbers_.max() < len(self.classes):
            raise ConversionError(
                f"labels: expected numbers of the {len(self.classes)} classes, got "
                f"{numbers_.min()} to {numbers_.max()}"
            )
        return np.array(self.classes)[numbers_]


def texts(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return texts by name, each name below a prefix; at most :data:`MOST`, cut to a length."""
    pairs = sorted(values.items())[:MOST]
    return {f"{prefix}{name}"[:LONGEST]: str(value)[:LONGEST] for name, value in pairs}


def numbers(prefix: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers by name, each name below a prefix; at most :data:`MOST`."""
    found = {
        f"{prefix}{name}"[:LONGEST]: float(value)
        for name, value in sorted(values.items())
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return dict(list(found.items())[:MOST])
