"""Documents: dataclasses as JSON objects, keys left out and nulls kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cloud_hub.database.documents import as_document, as_documents, omitted


@dataclass(frozen=True)
class Inner:
    value: float | None
    note: str | None = omitted()


@dataclass(frozen=True)
class Shaped:
    name: str
    inner: Inner

    def document(self) -> Mapping[str, Any]:
        return {"name": self.name, **as_document(self.inner)}


@dataclass(frozen=True)
class Outer:
    parts: tuple[Shaped, ...]
    by_name: Mapping[str, Inner]


def test_a_dataclass_becomes_a_document_all_the_way_down() -> None:
    outer = Outer((Shaped("a", Inner(None)),), {"b": Inner(1.0, "why")})
    assert as_document(outer) == {
        "parts": [{"name": "a", "value": None}],
        "by_name": {"b": {"value": 1.0, "note": "why"}},
    }


def test_several_become_a_list() -> None:
    assert as_documents((Inner(1.0), Inner(2.0))) == [{"value": 1.0}, {"value": 2.0}]


@pytest.mark.parametrize("value", [3, "text", None, [Inner(1.0)]])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="expected a dataclass or a mapping"):
        as_document(value)
