"""One input of the past, as a history has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Past(NamedTuple):
    """One input of the past.

    Attributes:
        at: when it was asked, Unix seconds.
        x: the input, as :meth:`edge_sdk.EdgeDevice.predict` takes it.
        label: that came for it; ``None`` for none.
        labelled_at: when the label came, Unix seconds; ``None`` for at once.
        groups: of the input by column.
    """

    at: float
    x: Any
    label: Any = None
    labelled_at: float | None = None
    groups: Mapping[str, Any] | None = None
