"""Keys of inputs: a checksum that locates an entry, and a digest that identifies it.

``docs/PACK.md`` defines the bytes that they are computed from; packs hold keys, votes name them.
"""

from __future__ import annotations

from typing import Final

CHECK_BYTES: Final = 4
DIGEST_BYTES: Final = 12
KEY_BYTES: Final = CHECK_BYTES + DIGEST_BYTES
ENTITY: Final = "entity-v1"
"""Canonicaliser of entity features: the canonical bytes are the entity's name in UTF-8."""

ENTITY_ANSWERS: Final = "entity-answers-v1"
"""Canonicaliser of precomputed answers by entity: the same bytes under a name of their own, so that
neither kind of pack is ever taken for the other."""
