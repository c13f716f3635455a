"""Skew between training and serving: the same entities, both ways. Pure.

One way is the file that devices have, read by the device's own code; the other is the join that
trainings use, at this moment. Both should give the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ENTITIES: Final = 1_000
"""Entities that are compared at most, evenly spread over all."""

MOST: Final = 0.01
"""Share of entities that may differ before an alarm."""


@dataclass(frozen=True)
class FeatureSkew:
    """One feature of one version.

    Attributes:
        feature: its name.
        compared: entities.
        different: of them, those to which devices give another value than trainings see.
        example: one of those: the entity, the value served, the value trained on.
    """

    feature: str
    compared: int
    different: int
    example: tuple[str, Any, Any] | None = None

    @property
    def share(self) -> float:
        """The share of entities that differ."""
        return self.different / self.compared if self.compared else 0.0

    @property
    def alarming(self) -> bool:
        """Return whether it is more than :data:`MOST`."""
        return self.share > MOST


def skews(
    names: Sequence[str],
    entities: Sequence[str],
    served: Sequence[Mapping[str, Any]],
    trained: Sequence[Mapping[str, Any]],
) -> list[FeatureSkew]:
    """Compare N entities.

    Args:
        names: features to compare.
        entities: N names.
        served: N rows as devices have them.
        trained: N rows as a training sees them, in the dtypes of the release.
    """
    return [_skew(name, entities, served, trained) for name in names]


def _skew(
    name: str,
    entities: Sequence[str],
    served: Sequence[Mapping[str, Any]],
    trained: Sequence[Mapping[str, Any]],
) -> FeatureSkew:
    apart = [
        (entity, one.get(name), other.get(name))
        for entity, one, other in zip(entities, served, trained, strict=True)
        if not _same(one.get(name), other.get(name))
    ]
    return FeatureSkew(name, len(entities), len(apart), apart[0] if apart else None)


def _same(one: Any, other: Any) -> bool:
    """Compare values; two that are missing are the same, be they ``None`` or NaN."""
    if _missing(one) or _missing(other):
        return _missing(one) and _missing(other)
    return bool(one == other)


def _missing(value: Any) -> bool:
    return value is None or value != value
