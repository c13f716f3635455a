"""Names of signals: ``KIND:NAME`` or ``KIND:NAME:WHAT``, of a column or an output. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from cloud_hub.text.spelling import did_you_mean, listed

BY_NAME: Final = ("drift", "domain", "outlier")
ALONE: Final = ("concept:errors", "estimate:accuracy", "domain:low confidence")
GROUPS: Final = ("fairness:", "selection:")


def why_none(signal: str, names: Sequence[str], groups: Sequence[str] = ()) -> str:
    """Why a model whose columns and outputs have these ``names`` cannot have such a signal; empty
    if it can. ``groups`` are those that it declares, such as ``sex=f``.
    """
    kind, _, name = signal.partition(":")
    if signal in ALONE or signal.startswith(GROUPS):
        return ""
    if (kind == "concept" and name in groups) or (kind == "drift" and _group_of(name) in groups):
        return ""
    if kind in BY_NAME and _place(signal, names) < len(names):
        return ""
    known = [*(f"drift:{name}" for name in names), *ALONE]
    near = did_you_mean(name, names) if kind in BY_NAME else did_you_mean(signal, known)
    return f"no signal {signal!r}; {near}there are {listed(known)} …"


def in_order(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Figures of signals: what alarms first, then by kind, then in the order of ``names``; the rest
    by their text.
    """
    return sorted(
        rows,
        key=lambda row: (
            not row["alarming"], row["kind"], _place(row["signal"], names), row["signal"],
        ),
    )  # fmt: skip


def _group_of(name: str) -> str:
    """The group of ``sex=f:label``."""
    return name.rpartition(":")[0]


def _place(signal: str, names: Sequence[str]) -> int:
    """Where the signal's name stands; behind all if it is none of them."""
    name = signal.partition(":")[2]
    for whole in (name, name.rpartition(":")[0]):
        if whole in names:
            return names.index(whole)
    return len(names)
