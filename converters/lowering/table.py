"""Columns between the steps of a Pipeline: blocks side by side, each block one tensor [N, k].

Columns of several types stay in tensors of their own until a step needs them in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from converters.lowering.graph import DOUBLE, FLOAT, STRING, Graph
from edge_sdk.contract.dtypes import DTYPES

KINDS: Final = {name: info.element for name, info in DTYPES.items()}


@dataclass(frozen=True)
class Block:
    """One tensor [N, width]; ``kind`` is its ONNX element type."""

    tensor: str
    kind: int
    width: int


@dataclass(frozen=True)
class Table:
    """Blocks side by side."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, tensor: str, width: int, kind: int = FLOAT) -> Table:
        """Return a table of one tensor.

        Args:
            tensor: its name.
            width: number of its columns.
            kind: its ONNX element type.
        """
        return cls((Block(tensor, kind, width),))

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(block.width for block in self.blocks)

    @property
    def numeric(self) -> bool:
        """True if no column is text."""
        return all(block.kind != STRING for block in self.blocks)


def pick(graph: Graph, table: Table, columns: Sequence[int]) -> Table:
    """Return some of the columns.

    Args:
        graph: the graph to write into.
        table: where the columns are.
        columns: their places, in the order in which they are wanted.
    """
    places = [(b, i) for b, block in enumerate(table.blocks) for i in range(block.width)]
    runs: list[tuple[int, list[int]]] = []
    for block, index in (places[c] for c in columns):
        if runs and runs[-1][0] == block:
            runs[-1][1].append(index)
        else:
            runs.append((block, [index]))
    return Table(tuple(_part(graph, table.blocks[block], indices) for block, indices in runs))


def _part(graph: Graph, block: Block, indices: list[int]) -> Block:
    if indices == list(range(block.width)):
        return block  # all of it, in order: nothing to gather
    source = graph.narrow.get(block.tensor, block.tensor)
    chosen = graph.op("Gather", source, np.array(indices, np.int64), axis=1)
    if source != block.tensor:
        chosen = graph.widen(chosen)
    return Block(chosen, block.kind, len(indices))


def joined(graph: Graph, table: Table, kind: int = FLOAT) -> str:
    """Return all columns in one tensor [N, width].

    Args:
        graph: the graph to write into.
        table: the columns.
        kind: ONNX element type that all are cast to.
    """
    parts = [b.tensor if b.kind == kind else graph.cast(b.tensor, kind) for b in table.blocks]
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=1)


def floats(graph: Graph, table: Table) -> str:
    """Return all columns in one float32 tensor [N, width]."""
    return joined(graph, table, FLOAT)


def common_kind(rows: Table) -> int:
    """Return the type to which NumPy takes these columns: float32 alone stays, else float64."""
    return FLOAT if all(block.kind == FLOAT for block in rows.blocks) else DOUBLE


def outcome(graph: Graph, rows: Table, x: str, width: int) -> Table:
    """Return what a transformer computed in float64, in the type that scikit-learn gives it.

    Args:
        graph: the graph to write into.
        rows: columns that the transformer got.
        x: float64 [N, width].
        width: number of columns.
    """
    if graph.faithful and common_kind(rows) == DOUBLE:
        return Table.of(x, width, DOUBLE)
    return Table.of(graph.cast(x, FLOAT), width)


def small_integers(graph: Graph, x: str, width: int) -> Table:
    """Return float32 [N, width] of whole numbers, which scikit-learn has in float64."""
    return Table.of(graph.widen(x), width, DOUBLE) if graph.faithful else Table.of(x, width)


def side_by_side(tables: Sequence[Table]) -> Table:
    """Return the columns of all tables, one table after the other."""
    return Table(tuple(block for table in tables for block in table.blocks))


def merged(graph: Graph, table: Table) -> Table:
    """Join neighbouring blocks of one element type into one."""
    blocks: list[Block] = []
    for block in table.blocks:
        if blocks and blocks[-1].kind == block.kind:
            last = blocks.pop()
            tensor = graph.op("Concat", last.tensor, block.tensor, axis=1)
            block = Block(tensor, block.kind, last.width + block.width)
        blocks.append(block)
    return Table(tuple(blocks))
