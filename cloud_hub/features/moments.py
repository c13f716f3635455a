"""Moments as microseconds since 1970 in UTC, however a file writes them. Pure.

A moment without a time zone is UTC. Finer moments are moved so that nothing is seen too early: rows
of history up, labels down.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import pa, pc
from cloud_hub.errors import Invalid
from edge_sdk.contract.limits import LATEST

MICRO: Final = 1_000_000
_ZONE: Final = r"[T ].*(?:Z|[+-]\d\d(?::?\d\d)?)$"


def moment_type() -> pa.DataType:
    """Return the type of columns of moments."""
    return pa.timestamp("us", "UTC")


def micros_of(
    column: pa.ChunkedArray, name: str, *, rounding: Literal["up", "down"]
) -> NDArray[np.int64]:
    """Return moments as microseconds [N].

    Args:
        column: timestamps, dates, ISO texts, or Unix seconds as numbers.
        name: of the column, for messages.
        rounding: of what is finer.

    Raises:
        Invalid: it holds something else, or nothing in some rows.
    """
    if column.null_count:
        raise Invalid(f"{name}: expected a moment in every row, {column.null_count} have none")
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_texts(column, name, rounding)
    if pa.types.is_date(kind):
        column = _cast(column, pa.timestamp("s"), name)
        kind = column.type
    if pa.types.is_timestamp(kind):
        ticks = column.cast(pa.int64()).to_numpy()
        return _scaled(ticks, kind.unit, name, rounding)
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        raise Invalid(
            f"{name}: expected moments to the second, but {kind} counts two minutes as one moment; "
            "keep them as float64, int64 or timestamps"
        )
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_seconds(column.to_numpy(), name, rounding)
    raise Invalid(f"{name}: expected timestamps or Unix seconds, got {kind}")


def _of_texts(column: pa.ChunkedArray, name: str, rounding: str) -> NDArray[np.int64]:
    """Read ISO texts; those with a zone and those without may stand in one column."""
    zoned = pc.match_substring_regex(column, _ZONE).combine_chunks()
    micros = np.empty(len(column), np.int64)
    for some, kind in ((zoned, pa.timestamp("ns", "UTC")), (pc.invert(zoned), pa.timestamp("ns"))):
        if some.true_count:
            ticks = _cast(column.filter(some), kind, name).cast(pa.int64()).to_numpy()
            micros[some.to_numpy(zero_copy_only=False)] = _scaled(ticks, "ns", name, rounding)
    return micros


def _of_seconds(values: NDArray[np.generic], name: str, rounding: str) -> NDArray[np.int64]:
    seconds = values.astype(np.float64)
    if not (np.isfinite(seconds).all() and (abs(seconds) <= LATEST).all()):
        raise Invalid(
            f"{name}: expected Unix seconds, at most {LATEST}; milliseconds are no seconds"
        )
    # To the microsecond: a double has about a quarter of one left at this century's seconds.
    return np.rint(seconds * MICRO).astype(np.int64)


def _scaled(ticks: NDArray[np.int64], unit: str, name: str, rounding: str) -> NDArray[np.int64]:
    if unit == "ns":
        return -(-ticks // 1_000) if rounding == "up" else ticks // 1_000
    factor = {"s": MICRO, "ms": 1_000, "us": 1}[unit]
    if len(ticks) and max(abs(int(ticks.min())), abs(int(ticks.max()))) * factor > LATEST * MICRO:
        raise Invalid(f"{name}: expected moments up to the year 2242, got a later one")
    return ticks * factor


def _cast(column: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise Invalid(f"{name}: expected moments such as 2026-11-27T08:00:00; {error}") from error
