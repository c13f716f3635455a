"""Names of entities as bytes, from which the keys of packs by entity are made."""

from __future__ import annotations

from typing import Any, Final

from edge_sdk.contract.key import ENTITY_ANSWERS
from edge_sdk.errors import InputError

PREFIX: Final = ENTITY_ANSWERS.encode() + b"\0"


def entity_bytes(entity: Any) -> bytes:
    """Return the canonical bytes of an entity's name; raises InputError if it is none."""
    if not isinstance(entity, str) or not entity:
        raise InputError("entity", f"entity: expected a name, got {entity!r:.60}")
    try:
        return entity.encode()
    except UnicodeEncodeError as error:
        raise InputError("entity", f"entity: expected Unicode text; {error}") from error
