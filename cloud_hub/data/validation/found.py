"""What a check found, before it is known whether that stops a run. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

FEW: Final = 2
"""Rows that are no share of anything: so many may be odd in data of any size."""

SIGMAS: Final = 4.0
"""Standard errors beyond a limit that chance alone does not reach."""


class Found(NamedTuple):
    """A finding of one check, see :class:`cloud_hub.data.validation.report.DataFinding`."""

    column: str | None
    text: str
    value: float | None = None
    limit: float | None = None


class Skipped(Exception):
    """A check cannot be made; its message says why."""
