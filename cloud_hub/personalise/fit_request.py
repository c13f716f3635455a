"""What a fit of a prior is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitRequest:
    """Rows that a prior is to be fitted to.

    Attributes:
        unit: column of the units' names.
        label: column of the labels.
        source: where the rows came from, in words.
        anew: with a space of its own, even if units then begin anew.
        foreign: a run has just made the release, and no publisher of this hub vouches for it.
    """

    unit: str
    label: str = "y"
    source: str = ""
    anew: bool = False
    foreign: bool = False
