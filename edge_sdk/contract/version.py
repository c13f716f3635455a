"""Versions of every format on the wire and on disk, and the steps to raise one.

A reader accepts unknown *fields* of a known format (a newer peer may send more) and refuses
an unknown *format number* (it may mean something else). To raise a number:

1. Is it needed? A new optional field with a default is not a new format.
2. Raise the number here, teach the parser to read the old one or to refuse it by name.
3. Keep the frozen examples of the old number under ``tests/contract/golden/`` and add new ones;
   the tests read every one that is there.
4. Write in CHANGELOG.md what a user with old devices or an old hub observes.
"""

from __future__ import annotations

from typing import Final

PROTOCOL: Final = 3
"""Version of the HTTP conversation between device and hub (``/v1/...``). In 3 one device serves any
number of models, and its check-in speaks of all; 2, with one model, and 1, with a token for life,
are refused by name."""

HUB_HEADER: Final = "Edge-Hub"
"""Header of every answer of a hub, with its protocol: what answers without it is none."""

NEXT_SYNC: Final = "Edge-Next-Sync"
"""Header: seconds from one sync to the next that the hub asks for."""

SPREAD: Final = "Edge-Spread"
"""Header: over how many seconds devices that were told the same news together should spread."""

ASKS: Final = "Edge-Asks"
"""Header of answers to one device: what its hub asks of it (:data:`edge_sdk.contract.fleet.Ask`),
with commas between."""

SIGNED_AT: Final = "edge_signed_at"
"""Field of ``timestamp.json``: when it was signed, Unix seconds."""

MANIFEST_FORMAT: Final = 2
"""2 lists variants, each with files of its own; 1, with one model file, is refused by name."""

PROFILE_FORMAT: Final = 1
CERTIFICATE_FORMAT: Final = 1
PLAN_FORMAT: Final = 1
REPORT_FORMAT: Final = 1
WINDOW_FORMAT: Final = 2
"""Of window reports: 2 has histograms as a text; 1, with lists of numbers, is refused by name."""

PACK_FORMAT: Final = 5
"""5 has checksums of the header and of each block of buckets; 4, without, is refused by name."""
DELTA_FORMAT: Final = 1
ENTITY_INDEX_FORMAT: Final = 1
PATCH_FORMAT: Final = 1
PRIOR_FORMAT: Final = 1
FIRST_BOOT_FORMAT: Final = 1
"""Of the file with which a new card comes: ``edge provision``."""
