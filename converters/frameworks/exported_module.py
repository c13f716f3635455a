"""What a source needs of a trained module, whatever framework it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from converters.errors import ConversionError
from edge_sdk.model.release import Feed


@dataclass(frozen=True)
class ExportedModule:
    """A module that was exported, and the module itself to compare with.

    Attributes:
        kind: name of its class.
        proto: the ModelProto; weights are inside it.
        answers: the module's own outputs to input tensors by name, with gradients off and dropout
            out of use. Outputs have the names of those of ``proto``.
        samples: rows of ``X`` as input tensors by name, in the dtypes that the module takes; more
            than one feed where rows differ in shape.
        resolution: relative size of one rounding in the module's dtype.
        batched: whether axis 0 of every input is the rows.
        fixed: rows that the file takes at a time; ``None`` if any.
        packages: top-level modules of the framework, and of the module's own class.
    """

    kind: str
    proto: Any
    answers: Callable[[Feed], Feed]
    samples: tuple[Feed, ...]
    resolution: float
    batched: bool = True
    fixed: int | None = None
    packages: tuple[str, ...] = ()


def in_blocks(
    run: Callable[[Feed], Feed],
    feed: Feed,
    block: int | None,
    *,
    filled: bool = False,
    axes: Mapping[str, int] = MappingProxyType({}),
) -> Feed:
    """Return the answers to all rows, of which ``run`` gets at most ``block`` at a time.

    Args:
        run: answers to some rows, by output name.
        feed: all rows by input name.
        block: rows of each call; ``None`` for all at once.
        filled: whether ``run`` takes exactly ``block`` rows: the last are then repeated.
        axes: axis of the rows of outputs, where it is not 0.

    Raises:
        ConversionError: inputs have different numbers of rows.
    """
    count = len(next(iter(feed.values())))
    if block is not None and any(len(array) != count for array in feed.values()):
        counts = {name: len(array) for name, array in feed.items()}
        raise ConversionError(
            f"X: expected inputs of as many rows each, got {counts}; an input that all rows share "
            "makes it one input at a time: give batched=False"
        )
    if block is None or block == count or (block > count and not filled):
        return run(feed)
    parts = []
    for start in range(0, count, block):
        rows = np.arange(start, start + block if filled else min(start + block, count))
        rows = np.minimum(rows, count - 1)
        parts.append(run({name: array[rows] for name, array in feed.items()}))
    found = {}
    for name in parts[0]:
        axis = axes.get(name, 0)
        whole = np.concatenate([part[name] for part in parts], axis)
        found[name] = whole.take(np.arange(count), axis)
    return found
