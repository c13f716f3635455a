"""What people call versions, as records for pages and answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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
_OfModels = dict[str, dict[str, Any]]


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


def names_by_model(
    tags: Iterable[Any], notes: Iterable[Any], aliases: Iterable[Any]
) -> Mapping[str, NamesOfModel]:
    """Return what was said, by model; one of which nothing was said is there as well.

    Args:
        tags: rows with ``model``, ``version`` (empty: the model itself), ``key`` and ``value``.
        notes: rows with ``model``, ``version`` and ``description``.
        aliases: rows with ``model``, ``alias`` and ``version``.
    """
    tagged: _OfModels = defaultdict(lambda: defaultdict(dict))
    for row in tags:
        tagged[row.model][row.version][row.key] = row.value
    noted: _OfModels = defaultdict(dict)
    for row in notes:
        noted[row.model][row.version] = row.description
    called: _OfModels = defaultdict(dict)
    for row in aliases:
        called[row.model][row.alias] = row.version
    found: dict[str, NamesOfModel] = defaultdict(lambda: NamesOfModel(NOTHING, {}, {}))
    for model in {*tagged, *noted, *called}:
        found[model] = _of_model(tagged[model], noted[model], called[model])
    return found


def _of_model(
    tags: Mapping[str, Mapping[str, str]], notes: Mapping[str, str], aliases: Mapping[str, str]
) -> NamesOfModel:
    given = {
        version: GivenNames(
            notes.get(version, ""),
            tags.get(version, {}),
            tuple(alias for alias, of in aliases.items() if of == version),
        )
        for version in {*tags, *notes, *aliases.values(), ""}
    }
    return NamesOfModel(given.pop(""), given, aliases)
