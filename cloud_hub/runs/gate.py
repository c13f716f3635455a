"""The offline gate: a candidate against what serves, on fresh and on historical rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from cloud_hub.policy import GatePolicy


@dataclass(frozen=True)
class Check:
    """One row of the gate's table. ``p`` is the exact McNemar p-value of the difference."""

    check: str
    rows: int
    candidate: float | None
    incumbent: float | None
    allowed_drop: float | None
    p: float | None
    ok: bool
    note: str = ""


@dataclass(frozen=True)
class Slice:
    """On one set of rows, which answers were right: [N] of booleans each."""

    candidate: NDArray[np.bool_]
    incumbent: NDArray[np.bool_]


def judge(slices: Mapping[str, Slice], policy: GatePolicy, *, candidate_bytes: int) -> list[Check]:
    """The table: ``fresh`` (is it better where it matters now?), ``forgetting`` (is it still good
    at what the model was good at?), ``size``.

    The historical slice is what shows catastrophic forgetting. A slice with too few rows is listed
    and decides nothing.
    """
    checks = []
    if "fresh" in slices:
        checks.append(_compare("fresh", slices["fresh"], policy.max_fresh_drop, policy))
    if "history" in slices:
        checks.append(_compare("forgetting", slices["history"], policy.max_forgetting, policy))
    if policy.max_bytes is not None:
        fits = candidate_bytes <= policy.max_bytes
        note = f"{candidate_bytes} bytes, allowed {policy.max_bytes}"
        checks.append(Check("size", 0, None, None, None, None, fits, note))
    return checks


def _compare(name: str, rows: Slice, allowed: float, policy: GatePolicy) -> Check:
    n = len(rows.candidate)
    if n < policy.minimum_rows:
        note = f"too few rows to decide (needs {policy.minimum_rows})"
        return Check(name, n, None, None, allowed, None, True, note)
    candidate, incumbent = float(rows.candidate.mean()), float(rows.incumbent.mean())
    won = int((rows.candidate & ~rows.incumbent).sum())
    lost = int((~rows.candidate & rows.incumbent).sum())
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    ok = candidate >= incumbent - allowed - 1e-12
    return Check(name, n, candidate, incumbent, allowed, p, ok, f"+{won} -{lost} answers")


def as_table(checks: list[Check]) -> list[dict[str, Any]]:
    """Plain rows."""
    return [asdict(check) for check in checks]


def failures(checks: list[Check]) -> str:
    """Which checks failed, in one line; empty if none."""
    return "; ".join(
        f"{c.check}: {c.candidate:.3f} against {c.incumbent:.3f} (allowed drop {c.allowed_drop})"
        if c.candidate is not None and c.incumbent is not None
        else f"{c.check}: {c.note}"
        for c in checks
        if not c.ok
    )
