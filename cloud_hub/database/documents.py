"""JSON documents: objects that the database keeps, and routes send, whole.

Services pass frozen dataclasses; they become documents in two places only: in a store, before they
are written, and in a route, before they are sent. The evidence of an alarm or of a firing is read
back as the document that was stored: it is shown to people, and an older hub may have written it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Document: TypeAlias = Mapping[str, Any]
"""A JSON object that the hub hands on and does not compute with."""

OMITTED: Final = "omitted"
"""Key in a field's metadata: the document has no such key while the value is ``None``."""


def omitted() -> Any:
    """Declare an optional field of a dataclass that its document leaves out while it is ``None``.

    Other fields that are ``None`` are written as ``null``.
    """
    return dataclasses.field(default=None, metadata={OMITTED: True})


def as_document(value: object) -> Document:
    """Return a dataclass as a JSON object.

    A dataclass whose document has another shape than its fields has a method ``document``.

    Raises:
        TypeError: ``value`` is neither a dataclass nor a mapping.
    """
    plain = _plain(value)
    if not isinstance(plain, dict):
        raise TypeError(f"expected a dataclass or a mapping, got {type(value).__name__}")
    return plain


def as_documents(values: object) -> list[Document]:
    """Return a list or tuple of dataclasses as JSON objects."""
    plain = _plain(values)
    if not isinstance(plain, list):
        raise TypeError(f"expected a list or a tuple, got {type(values).__name__}")
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "document"):
            return _plain(value.document())
        return {
            field.name: _plain(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) is not None or OMITTED not in field.metadata
        }
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
