"""Largest sizes of messages and files; a reader refuses larger ones unread. Units in the names."""

from __future__ import annotations

from typing import Final

MANIFEST_BYTES: Final = 1 << 20
PROFILE_BYTES: Final = 16 << 20
CERTIFICATE_BYTES: Final = 4 << 20
PLAN_BYTES: Final = 256 << 10
MESSAGE_BYTES: Final = 4 << 20
"""One outbox message: a window report, a batch of shared samples, ..."""

UPLOAD_BYTES: Final = 16 << 20
"""One upload of several outbox messages."""

UPLOAD_MESSAGES: Final = 256
MODEL_BYTES: Final = 2 << 30
PACK_BYTES: Final = 64 << 30
PACK_HEADER_BYTES: Final = 1 << 20
"""Header of a pack or of a delta."""

NAME_CHARACTERS: Final = 64
"""Model names, arm names, experiment ids."""

ATTRIBUTES: Final = 32
FEATURES: Final = 20_000
GROUP_COLUMNS: Final = 8
GROUPS: Final = 32
"""Groups of one column, besides *other* and *missing*."""

VOTES_PER_MESSAGE: Final = 1_000
SAMPLES_PER_MESSAGE: Final = 1_000
