"""WordPiece in whole numbers: pieces of words by plain ONNX operators.

Symbols of characters are matched against a trie of the vocabulary from every place at once, as far
as the longest piece goes. The chain of longest pieces of each word is then followed by doubling:
after k steps all pieces are known that 2^k pieces lead to. So there is no loop in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.preprocessing.nodes import Nodes

BREAK, OTHER, FIRST = 0, 1, 2
"""Symbols: between words; of a character that no piece has; the first of those that pieces have."""

DEAD, WORD, INSIDE = 0, 1, 2
"""States of the trie: nothing matches; before a word; before what continues a word."""


@dataclass(frozen=True)
class Pieces:
    """The vocabulary.

    Attributes:
        begin: numbers of pieces that begin a word, by their symbols.
        go_on: numbers of pieces that continue one.
        symbols: number of symbols.
        unknown: number of the piece that stands for a word that cannot be cut.
        longest_word: characters above which a word is unknown.
    """

    begin: Mapping[tuple[int, ...], int]
    go_on: Mapping[tuple[int, ...], int]
    symbols: int
    unknown: int
    longest_word: int

    @property
    def longest(self) -> int:
        """Symbols of the longest piece."""
        return max(map(len, [*self.begin, *self.go_on]))


def add_pieces(nodes: Nodes, symbols: str, pieces: Pieces) -> tuple[str, str]:
    """Add the search for pieces.

    Args:
        nodes: to add to.
        symbols: name of a vector of symbols; the last is :data:`BREAK`.
        pieces: the vocabulary.

    Returns:
        Names of the places of pieces in ``symbols``, and of their numbers.
    """
    zero, one = nodes.ints(0), nodes.ints(1)
    count = nodes.add("Shape", symbols)
    is_letter = nodes.add("Cast", nodes.add("Not", nodes.add("Equal", symbols, zero)), to=7)
    before = nodes.add("Slice", nodes.add("Concat", zero, is_letter, axis=0), zero, count)
    starts = nodes.add("Mul", is_letter, nodes.add("Sub", one, before))
    # Words are counted from 1; what is between them is word 0.
    words = nodes.add("CumSum", starts, nodes.constant(0, "int64"))
    words = nodes.add("Mul", words, is_letter)
    lengths, numbers = _longest(nodes, symbols, starts, count, pieces)
    reached = _reached(nodes, starts, lengths, words, count, pieces.longest_word)
    stuck = nodes.add("Cast", nodes.add("Equal", lengths, zero), to=7)
    bad = _unknown_words(nodes, nodes.add("Mul", reached, stuck), words, is_letter, pieces)
    is_bad = nodes.add("Greater", bad, zero)
    shown = nodes.add("Where", is_bad, starts, reached)
    places = nodes.add("Squeeze", nodes.add("NonZero", shown), zero)
    numbers = nodes.add("Where", is_bad, nodes.ints(pieces.unknown), numbers)
    return places, nodes.add("Gather", numbers, places)


def _longest(
    nodes: Nodes, symbols: str, starts: str, count: str, pieces: Pieces
) -> tuple[str, str]:
    """Return length and number of the longest piece from every place; 0 where there is none."""
    edges, ends = _trie(pieces)
    padding = nodes.constant(np.full(pieces.longest, BREAK), "int64")
    padded = nodes.add("Concat", symbols, padding, axis=0)
    state = nodes.add("Where", _is_one(nodes, starts), nodes.ints(WORD), nodes.ints(INSIDE))
    values, width = nodes.constant(ends, "int64"), nodes.ints(pieces.symbols)
    length = nodes.add("Mul", symbols, nodes.ints(0))
    number, none = length, nodes.ints(-1)
    for step in range(pieces.longest):
        begin = nodes.ints(step)
        symbol = nodes.add("Slice", padded, begin, nodes.add("Add", count, begin))
        state = nodes.add(
            "LabelEncoder",
            nodes.add("Add", nodes.add("Mul", state, width), symbol),
            domain="ai.onnx.ml",
            keys_int64s=list(edges),
            values_int64s=list(edges.values()),
            default_int64=DEAD,
        )
        found = nodes.add("Gather", values, state)
        matches = nodes.add("Greater", found, none)
        length = nodes.add("Where", matches, nodes.ints(step + 1), length)
        number = nodes.add("Where", matches, found, number)
    return length, number


def _trie(pieces: Pieces) -> tuple[dict[int, int], list[int]]:
    """Return the next state by ``state * symbols + symbol``, and the number that each state ends.

    A state that ends no piece has -1.
    """
    edges: dict[int, int] = {}
    ends = [-1, -1, -1]
    for root, vocabulary in ((WORD, pieces.begin), (INSIDE, pieces.go_on)):
        for symbols, number in vocabulary.items():
            state = root
            for symbol in symbols:
                key = state * pieces.symbols + symbol
                if key not in edges:
                    edges[key] = len(ends)
                    ends.append(-1)
                state = edges[key]
            ends[state] = number
    return edges, ends


def _reached(
    nodes: Nodes, starts: str, lengths: str, words: str, count: str, longest_word: int
) -> str:
    """Return 1 where a piece begins, if words are cut from their start by longest pieces."""
    zero = nodes.ints(0)
    places = nodes.add("Range", *_scalars(nodes, zero, count, nodes.ints(1)))
    ends = nodes.add("Add", places, lengths)
    # Behind all symbols there is one more place, where every chain ends.
    with_end = nodes.add("Concat", words, zero, axis=0)
    same = nodes.add("Equal", nodes.add("Gather", with_end, ends), words)
    goes_on = nodes.add("And", same, nodes.add("Greater", lengths, zero))
    jumps = nodes.add("Where", goes_on, ends, count)
    jumps = nodes.add("Concat", jumps, count, axis=0)
    reached = nodes.add("Concat", starts, zero, axis=0)
    for _ in range(max(1, (longest_word - 1).bit_length())):
        further = nodes.add("ScatterElements", reached, jumps, reached, reduction="max")
        reached, jumps = further, nodes.add("Gather", jumps, jumps)
    return nodes.add("Slice", reached, zero, count)


def _unknown_words(nodes: Nodes, stuck: str, words: str, is_letter: str, pieces: Pieces) -> str:
    """Return a number above 0 at every place of a word that is unknown."""
    zeros = nodes.add("Mul", words, nodes.ints(0))
    zeros = nodes.add("Concat", zeros, nodes.ints(0), axis=0)
    bad = nodes.add("ScatterElements", zeros, words, stuck, reduction="max")
    lengths = nodes.add("ScatterElements", zeros, words, is_letter, reduction="add")
    long = nodes.add("Greater", lengths, nodes.ints(pieces.longest_word))
    bad = nodes.add("Max", bad, nodes.add("Cast", long, to=7))
    return nodes.add("Gather", bad, words)


def _is_one(nodes: Nodes, x: str) -> str:
    return nodes.add("Greater", x, nodes.ints(0))


def _scalars(nodes: Nodes, *vectors: str) -> Sequence[str]:
    return [nodes.add("Squeeze", vector, nodes.ints(0)) for vector in vectors]
