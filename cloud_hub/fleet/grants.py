"""A grant: what lets a device in, and under which terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Grant:
    """The terms under which one device joins.

    Attributes:
        by: what it joined with, such as ``token:a1b2c3`` or ``serial:SN-17``.
        models: whose fleets it joins.
        vouched_by: who counts as one voter together with it; ``None``: it is one by itself.
        attributes: that the device cannot choose otherwise.
        approve: somebody has to approve it first.
        serial: its serial number, if it was registered by one.
    """

    by: str
    models: tuple[str, ...]
    vouched_by: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    approve: bool = False
    serial: str | None = None
