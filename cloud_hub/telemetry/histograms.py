"""The histograms of stored reports as arrays. Thousands are read at once, so they are unpacked with
NumPy; ``edge_sdk.contract.histogram_codec`` has the format, and checked them when they came in.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Histograms = list[NDArray[np.int64]]


def histograms_of(body: Mapping[str, Any]) -> Histograms:
    """Those of features, then those of outputs, of a report as plain JSON."""
    return [*_unpacked(body.get("features", [])), *_unpacked(body.get("outputs", []))]


def group_histograms_of(
    body: Mapping[str, Any], outputs: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Histograms of the ``outputs`` of each declared group, by names such as ``sex=f:label``."""
    for column, groups in body.get("groups", {}).items():
        for group, told in groups.items():
            for name, counts in zip(outputs, _unpacked(told["outputs"]), strict=False):
                yield group_output(column, group, name), counts


def group_output(column: str, group: str, output: str) -> str:
    """How the output of a group is called where those of all rows are."""
    return f"{column}={group}:{output}"


def _unpacked(told: Any) -> Histograms:
    if not isinstance(told, str):
        return [np.asarray(counts, np.int64) for counts in told]
    numbers = _numbers(base64.b64decode(told + "=" * (-len(told) % 4)))
    found, at = [], 1
    for _ in range(int(numbers[0])):
        size = int(numbers[at])
        found.append(numbers[at + 1 : at + 1 + size])
        at += 1 + size
    return found


def _numbers(raw: bytes) -> NDArray[np.int64]:
    """LEB128: each number ends with the first byte below 128."""
    data = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    parts = (data & 0x7F).astype(np.int64) << (7 * place)
    numbers: NDArray[np.int64] = np.add.reduceat(parts, starts)
    return numbers


def added(a: Histograms, b: Histograms) -> Histograms:
    """Bin by bin."""
    return [mine + theirs for mine, theirs in zip(a, b, strict=True)]
