"""Histograms: the order of their counts, and the text in which they travel.

A histogram of feature ``f`` has ``f.bins + 2`` counts: its bins in order (the reference profile has
them), then *missing* (NaN, None), then *outside* (out of range, or a category that training never
saw).

A report of 50 features is 2 to 5 KB as a text instead of 5 to 12. It is base64 without padding, of
numbers in LEB128: seven bits a byte, the lowest first, and the high bit says that more follows. The
first number is how many histograms there are; each then has how many counts it has, and its
counts. Every number and the base64 have their shortest form, so that one content has one text.

``edge_sdk.telemetry.histogram_codec`` encodes and decodes it, with NumPy.
"""

from __future__ import annotations

from typing import Final

MISSING: Final = -2
"""Index of the *missing* count in a histogram."""

OUTSIDE: Final = -1
"""Index of the *outside* count in a histogram."""

NO_HISTOGRAMS: Final = "AA"
"""The text of no histograms."""

LARGEST_COUNT: Final = 1 << 62
"""Every count is below."""
