"""Words for a version of a dataset: its record, and how it is named. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cloud_hub.data.columns import ColumnKind
from cloud_hub.errors import Invalid
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import check_name

TRAIN: Final = "train"
HOLDOUT: Final = "holdout"
CATALOGUE: Final = "catalogue"
FRESH: Final = "fresh"
"""Rows that devices shared, as one run took them."""

LABELLED: Final = (HOLDOUT, TRAIN, FRESH)
"""Names of datasets whose rows have labels."""

ANSWERED: Final = (HOLDOUT, CATALOGUE)
"""Names of datasets that the model answers as it is."""

Use = Literal["trained", "judged"]
"""What a version of a model was made with: rows that it was trained on, or compared on."""

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class DatasetColumn:
    """A column: its name, the kind of its values, and its role unless it is a feature."""

    name: str
    kind: ColumnKind
    role: str | None = None


@dataclass(frozen=True)
class DatasetRecord:
    """One version of a dataset.

    Attributes:
        model: line of versions that it is for.
        name: ``train``, ``holdout``, ``catalogue``, ``fresh`` or one of the user's.
        number: 1 for the first version of that name.
        fingerprint: SHA-256 of the content, whatever file it came in.
        blob: SHA-256 of the stored file; empty once its rows were deleted.
        bytes: of the stored file.
        rows: number of rows.
        columns: the schema.
        since: time of the first row, Unix seconds; ``None`` where rows have no time.
        until: time of the last row.
        source: where the rows came from, in words.
        parent: number of the version before.
        added_at: Unix seconds.
        actor: who added it.
        tags: its other names.
    """

    model: str
    name: str
    number: int
    fingerprint: str
    blob: str
    bytes: int
    rows: int
    columns: tuple[DatasetColumn, ...]
    since: float | None
    until: float | None
    source: str
    parent: int | None
    added_at: float
    actor: str
    tags: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """Return ``NAME@NUMBER``."""
        return f"{self.name}@{self.number}"

    @property
    def features(self) -> Mapping[str, ColumnKind]:
        """Kinds of the columns without a role, by name."""
        return {column.name: column.kind for column in self.columns if column.role is None}


@dataclass(frozen=True)
class DatasetRef:
    """How somebody names a version: ``NAME``, the newest; ``NAME@3``; ``NAME@TAG``."""

    name: str
    number: int | None = None
    tag: str | None = None

    @classmethod
    def parse(cls, text: str) -> DatasetRef:
        """Return what ``text`` names; raises Invalid."""
        name, at, rest = text.partition("@")
        check_dataset_name(name)
        if not at:
            return cls(name)
        if _NUMBER.fullmatch(rest):
            return cls(name, number=int(rest))
        check_tag(rest)
        return cls(name, tag=rest)

    def __str__(self) -> str:
        rest = self.tag if self.number is None else self.number
        return self.name if rest is None else f"{self.name}@{rest}"


def check_dataset_name(name: str) -> None:
    """Raise Invalid unless a dataset may have the name."""
    _checked("dataset", name)


def check_tag(tag: str) -> None:
    """Raise Invalid unless a version may have the tag: a number is none."""
    _checked("tag", tag)
    if tag.isdigit():
        raise Invalid(f"tag: expected a word, got {tag!r}, which names the version of that number")


def _checked(what: str, text: str) -> None:
    try:
        check_name(what, text)
    except ContractError as error:
        raise Invalid(str(error)) from error
