"""Names of signals: ``KIND:NAME`` or ``KIND:NAME:WHAT``, of a column or an output. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from cloud_hub.monitoring.store import REFUSED, FigureRecord
from cloud_hub.text.spelling import did_you_mean, listed

BY_NAME: Final = ("drift", "domain", "devices", "outlier")
ALONE: Final = ("concept:errors", "concept:mae", "estimate:accuracy", "domain:low confidence")
GROUPS: Final = ("fairness:", "selection:")
SKEW: Final = "skew:"
"""Of features between training and serving; measured elsewhere."""


def why_none(signal: str, names: Sequence[str], groups: Sequence[str] = ()) -> str:
    """Return why a model cannot have such a signal; empty if it can.

    Args:
        signal: ``KIND:NAME`` or ``KIND:NAME:WHAT``.
        names: columns and outputs of the model.
        groups: groups that it declares, such as ``sex=f``.
    """
    kind, _, name = signal.partition(":")
    if signal in ALONE or signal.startswith((*GROUPS, SKEW, f"{REFUSED}:")):
        return ""
    if (kind == "concept" and name in groups) or (kind == "drift" and _group_of(name) in groups):
        return ""
    if kind in BY_NAME and _place(signal, names) < len(names):
        return ""
    signals = [*(f"drift:{name}" for name in names), *ALONE]
    near = did_you_mean(name, names) if kind in BY_NAME else did_you_mean(signal, signals)
    return f"no signal {signal!r}; {near}there are {listed(signals)} …"


def in_order(rows: Iterable[FigureRecord], names: Sequence[str]) -> list[FigureRecord]:
    """Sort figures of signals: alarming ones first, then by kind, then in the order of ``names``,
    then by their text.
    """
    return sorted(
        rows,
        key=lambda row: (
            not row.alarming,
            row.kind,
            _place(row.signal, names),
            row.signal,
        ),
    )


def _group_of(name: str) -> str:
    """The group of ``sex=f:label``."""
    return name.rpartition(":")[0]


def _place(signal: str, names: Sequence[str]) -> int:
    """The index of the signal's name in ``names``; behind all if it is none of them."""
    name = signal.partition(":")[2]
    for whole in (name, name.rpartition(":")[0]):
        if whole in names:
            return names.index(whole)
    return len(names)
