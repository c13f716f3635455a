"""The text in which histograms travel: a report of 50 features is 2 to 5 KB instead of 5 to 12.

It is base64 without padding, of numbers in LEB128: seven bits a byte, the lowest first, and the
high bit says that more follows. The first number is how many histograms there are; each then has
how many counts it has, and its counts. Every number and the base64 have their shortest form, so
that one content has one text.

``edge_sdk.telemetry.histogram_codec`` encodes and decodes it, with NumPy.
"""

from __future__ import annotations

from typing import Final

NO_HISTOGRAMS: Final = "AA"
"""The text of no histograms."""

LARGEST_COUNT: Final = 1 << 62
"""Every count is below."""
