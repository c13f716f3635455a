"""What is kept of one unit: sums, weights and its guard; as an object, and packed into bytes.

Packed: a header, then one record for each class that has a label. The sums are kept there as means
in float16, whose relative error of 5e-4 is far below the spread of one row (1) over its labels.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.errors import ContractError
from edge_sdk.personalise.experts import Weights
from edge_sdk.personalise.guard import ServingGuard
from edge_sdk.personalise.tally import TALLY, Tally

Sums = NDArray[np.float32]

MEMORIES: Final = 2
"""Slow and fast."""

_HEADER: Final = struct.Struct(f"<8sHH?Id3f4fI4f{TALLY.size}s")
_LARGEST_COUNT: Final = 1e7
_HOUR: Final = 3_600.0


@dataclass(slots=True, eq=False)
class UnitState:
    """One unit's model.

    Attributes:
        sums: [2, C, r + 1] decayed sums of (u − mean of the class) and, last, their weights.
        weights: of the experts.
        guard: whether the unit's own answers may serve.
        noise: estimated share of labels that are wrong.
        last: Unix seconds at which the sums were last aged; 0 before the first label.
        drift: evidence, in nats, that the slow memory is of somebody else than the fast one, and
            the fast one of somebody else than answers now, and that rows are a stranger's.
        labels: that were taken.
        tally: what they said of both answers, for the sums of the hub.
        cache: what is derived of sums and weights; whoever changes them sets it to ``None``.
    """

    sums: Sums
    weights: Weights
    guard: ServingGuard
    noise: float
    last: float = 0.0
    drift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    labels: int = 0
    tally: Tally = field(default_factory=Tally)
    cache: object | None = None

    def age(self, now: float, half_life_days: float) -> None:
        """Forget by time, in steps of an hour or more.

        Args:
            now: Unix seconds; a clock that went back forgets nothing.
            half_life_days: after which what was learnt weighs half.
        """
        elapsed = now - self.last
        if self.last and elapsed < _HOUR:
            # A clock that was ahead is followed back, or nothing would be forgotten for years.
            self.last = min(self.last, now)
            return
        if self.last:
            self.sums *= np.float32(0.5 ** (elapsed / (24 * _HOUR * half_life_days)))
        self.last = now


def state_bytes(classes: int, width: int) -> int:
    """Return the most bytes that a packed state takes.

    Args:
        classes: C.
        width: r + 1.
    """
    return _HEADER.size + classes * _record(width).itemsize


def _record(width: int) -> np.dtype[np.void]:
    return np.dtype(
        [("row", "<u2"), ("count", "<f4", (MEMORIES,)), ("mean", "<f2", (MEMORIES, width - 1))]
    )


def pack(state: UnitState, basis: bytes) -> bytes:
    """Pack a unit's state.

    Args:
        state: of the unit.
        basis: eight bytes that name what its sums are of.
    """
    sums, guard = state.sums, state.guard
    rows = np.flatnonzero(sums[:, :, -1].max(axis=0) > 0)
    records = np.zeros(len(rows), _record(sums.shape[2]))
    records["row"] = rows
    counts = sums[:, rows, -1].T
    records["count"] = counts
    means = sums[:, rows, :-1].swapaxes(0, 1) / np.maximum(counts, 1e-12)[:, :, None]
    records["mean"] = np.clip(means, -60_000, 60_000)
    head = _HEADER.pack(
        *(basis, sums.shape[1], len(rows), guard.serving, state.labels, state.last),
        *(*state.weights, *guard.better, *guard.worse, guard.pairs),
        *state.drift,
        state.noise,
        state.tally.pack(),
    )
    return head + records.tobytes()


def unpack(raw: bytes, basis: bytes, classes: int, width: int) -> UnitState:
    """Return the state that :func:`pack` packed.

    Args:
        raw: packed state.
        basis: eight bytes that name what the sums are to be of.
        classes: C.
        width: r + 1.

    Raises:
        ContractError: it is damaged, or of another basis.
    """
    record = _record(width)
    if len(raw) < _HEADER.size:
        raise ContractError(f"unit: expected at least {_HEADER.size} bytes, got {len(raw)}")
    named, rows, filled, serving, labels, last, *rest, tally = _HEADER.unpack_from(raw)
    if named != basis or rows != classes:
        raise ContractError("unit: expected sums of this prior's basis, got another one's")
    if len(raw) != _HEADER.size + filled * record.itemsize or filled > classes:
        raise ContractError("unit: expected as many bytes as its header says")
    records = np.frombuffer(raw, record, filled, _HEADER.size)
    _check_numbers((last, *rest), records, classes)
    sums = np.zeros((MEMORIES, classes, width), np.float32)
    counts = records["count"].T
    sums[:, records["row"], -1] = counts
    sums[:, records["row"], :-1] = records["mean"].swapaxes(0, 1) * counts[:, :, None]
    weights = (rest[0], rest[1], rest[2])
    guard = ServingGuard(serving, (rest[3], rest[4]), (rest[5], rest[6]), rest[7])
    drift = (rest[8], rest[9], rest[10])
    return UnitState(sums, weights, guard, rest[11], last, drift, labels, Tally.unpack(tally))


def _check_numbers(head: tuple[float, ...], records: NDArray[np.void], classes: int) -> None:
    finite = all(map(math.isfinite, head)) and bool(np.isfinite(records["mean"]).all())
    counts = records["count"]
    # Written so that a NaN fails it.
    counted = bool(((counts >= 0) & (counts <= _LARGEST_COUNT)).all())
    weights = head[1:4]
    whole = min(weights) >= 0 and abs(sum(weights) - 1) < 1e-3
    ascending = bool((np.diff(records["row"].astype(int)) > 0).all())
    within = not len(records) or records["row"][-1] < classes
    wealth = min(head[4:8]) >= 0 and min(head[9:12]) >= 0 and 0 <= head[12] < 1
    if not (finite and counted and whole and ascending and within and wealth):
        raise ContractError("unit: expected finite sums, counts and weights; it is damaged")
