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

VALUE_BYTES: Final = 1 << 30
"""One value of a pack."""

VALUE_AXES: Final = 16
"""Of one output in it."""

ENTITY_INDEX_BYTES: Final = 1 << 20
ENTITY_SHARES: Final = 2_000
"""Packs of one index: values of the attribute by which entities are shared out to devices."""

NAME_CHARACTERS: Final = 64
"""Model names, arm names, experiment ids."""

MODELS: Final = 64
"""Models of one device."""

ATTRIBUTES: Final = 32
FEATURES: Final = 20_000
EMBEDDING: Final = 8_192
"""Numbers of an embedding that is watched."""

DIRECTIONS: Final = 32
"""Directions of an embedding."""

EVENT_TEXT: Final = 200
"""Characters of one text of a session's event."""

GROUP_COLUMNS: Final = 8
VARIANTS: Final = 16
"""Model files of one release."""

GROUPS: Final = 32
"""Groups of one column, besides *other* and *missing*."""

CLOCK_SKEW_SECONDS: Final = 300.0
"""The clocks of a device and of the hub may differ by as much."""

VOTES_PER_MESSAGE: Final = 1_000
SAMPLES_PER_MESSAGE: Final = 1_000
TENSOR_SAMPLE_BYTES: Final = 2 << 20
"""One shared input that is no table, compressed."""

TENSOR_VALUE_BYTES: Final = 16 << 20
"""The values of one, before."""

SHARED_TENSORS: Final = 64
"""Tensors of one."""

LARGEST_INTEGER: Final = (1 << 63) - 1
"""What the databases of a hub store, and NumPy counts in; the same below zero."""

LARGEST_COUNT_REPORTED: Final = 1 << 40
"""One count of one message: 1.8 million a second for a week. Eight million of them add up to less
than :data:`LARGEST_INTEGER`."""

LARGEST_SUM: Final = 1e150
"""One sum of one message, either sign: its square is finite, and so are sums of squares."""

LARGEST_ERROR: Final = 1e35
"""Of one number of a regressor: sums of fourth powers of more would be above what hubs take."""

LATEST: Final = 1 << 33
"""Unix seconds: the year 2242. Calendars of programs end soon after."""

TEXT_CHARACTERS: Final = 1_000
"""A reason, or a label of free text, for people."""

NAMES_PER_REPORT: Final = 64
"""Kinds of errors, reasons of loss, resources: names that a device makes up."""

LOG_LINES: Final = 500
"""Lines of its log that a device sends when it is asked."""

LOG_CHARACTERS: Final = 500
"""Of one of them."""

LARGEST_STATE: Final = (1 << 31) - 1
"""Serials and counts of a check-in."""

STATE_CHARACTERS: Final = 400
"""One text of a check-in: a version, a digest or several, the name of an operating system."""

STATE_ITEMS: Final = 256
"""Releases that failed or are ready on a device, names of its software."""
