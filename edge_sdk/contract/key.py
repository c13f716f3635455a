"""The key of an input: a checksum that finds it and a digest that tells it from all others.

``docs/PACK.md`` says of what; packs hold keys, votes name them.
"""

from __future__ import annotations

from typing import Final

CHECK_BYTES: Final = 4
DIGEST_BYTES: Final = 12
KEY_BYTES: Final = CHECK_BYTES + DIGEST_BYTES
ENTITY: Final = "entity-v1"
"""Canonicaliser of entity features: the canonical bytes are the entity's name in UTF-8."""
