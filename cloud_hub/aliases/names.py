"""What people call versions, as records for pages and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GivenNames:
    """What somebody has said of a model or of one of its versions.

    Attributes:
        description: in words; empty for none.
        tags: by key.
        aliases: of a version, in order; a model has none.
    """

    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "description": self.description,
            "tags": dict(self.tags),
            "aliases": list(self.aliases),
        }


NOTHING = GivenNames()


@dataclass(frozen=True)
class NamesOfModel:
    """What was said of a model, and of its versions by number; ``aliases`` are those of all."""

    model: GivenNames
    versions: Mapping[str, GivenNames]
    aliases: Mapping[str, str]

    def of(self, version: str) -> GivenNames:
        """Return what was said of a version."""
        return self.versions.get(version, NOTHING)

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "description": self.model.description,
            "tags": dict(self.model.tags),
            "aliases": dict(self.aliases),
            "versions": {name: given.document() for name, given in self.versions.items()},
        }
