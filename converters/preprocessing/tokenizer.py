"""Texts: the WordPiece tokenizer of BERT and its relatives, by operators that onnxruntime has.

A text is cut into characters, each of which becomes the symbols that the Python tokenizer makes of
it: lowered, without accents, alone between two breaks. That was asked of the Python for every code
point that there is, when the release was made, and needs no context. Pieces are then found among
whole numbers (:mod:`converters.preprocessing.wordpiece`).

onnxruntime-extensions has an operator for it, which cuts a word with one unknown letter into pieces
where Python gives one unknown piece (0.15.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.preprocessing.nodes import Nodes
from converters.preprocessing.tokenizer_file import TokenizerFile
from converters.preprocessing.wordpiece import add_pieces

PROBES: Final = (
    "",
    " \t\n",
    "Ünîçødé ☃ Wörter",
    "東京 タワー한국어",
    "it's 3.14, re-do! $5~^`",
    "😀 e\u0301 👩\u200d👩\u200d👧 ﬁ ẞ İ ΣΑΣ",
    "a\u00a0b\u200bc\x00d\x07e\ufffdf",
    "x" * 99 + " " + "y" * 101,
    "[MASK][CLS] [mask] [SEP",
    "word, " * 1000,
)
"""Texts that every release is held to besides the samples."""

OPSET: Final = 18
"""Least operator set of a network behind it: from 18 on ScatterElements takes the larger."""

_FILLER: Final = "\x01\x01"
"""Fills short texts up; no character is that long."""


@dataclass(frozen=True)
class Tokenizer:
    """From a text to the numbers of its pieces.

    The app gives texts [rows]. A row is as long as the longest text of its batch.

    Attributes:
        tokenizer: a ``Tokenizer`` of the package tokenizers, or a tokenizer of transformers that is
            made of one (a "fast" one), with the model WordPiece. The release is held to it.
        max_length: pieces of the longest text, those that are put around it counted; what is
            further is cut off.
        inputs: names of the network's inputs: of the numbers; if there are more, of the mask (1 for
            a piece, 0 behind a shorter text); and of the kinds of text, which are 0.
    """

    tokenizer: Any
    max_length: int
    inputs: Sequence[str] = ("input_ids", "attention_mask")
    name: ClassVar[str] = "text"
    allowed: ClassVar[float] = 0.0
    probes: ClassVar[Sequence[Any]] = tuple(np.array([text], object) for text in PROBES)
    _file: TokenizerFile = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.inputs, str) or not 1 <= len(self.inputs) <= 3:
            raise ConversionError(
                f"preprocess: inputs: expected one to three names, got {self.inputs!r:.60}"
            )
        object.__setattr__(self, "_file", TokenizerFile.of(self.tokenizer, self.max_length))

    def transform(self, text: Any) -> Mapping[str, NDArray[Any]]:
        """Return what the tokenizer itself gives, by the names of the network's inputs."""
        numbers = self._file.numbers(str(np.asarray(text).ravel()[0]))
        found = (numbers, np.ones_like(numbers), np.zeros_like(numbers))
        return dict(zip(self.inputs, found, strict=False))

    def check(self, X: Any) -> list[NDArray[Any]]:
        """Return the samples as arrays with an axis of one row.

        Raises:
            ConversionError: ``X`` holds other than texts.
        """
        if isinstance(X, str) or not hasattr(X, "__len__") or len(X) == 0:
            raise ConversionError(f"X: expected a list of texts, got {type(X).__name__}")
        for i, text in enumerate(X):
            if not isinstance(text, str):
                raise ConversionError(f"X: text {i}: expected a text, got {type(text).__name__}")
        return [np.array([str(text)], object) for text in X]

    def given(self) -> Any:
        """Return the input of the release, as a ValueInfoProto."""
        from onnx import TensorProto, helper

        return helper.make_tensor_value_info(self.name, TensorProto.STRING, ["rows"])

    def build(self) -> tuple[Nodes, Mapping[str, str]]:
        """Return the steps as nodes, and what each input of the network takes."""
        nodes = Nodes(OPSET)
        symbols, rows, count = self._symbols(nodes)
        places, numbers = add_pieces(nodes, symbols, self._file.pieces)
        rows = nodes.add("Gather", rows, places)
        ids, mask = self._padded(nodes, numbers, rows, count)
        kinds = nodes.add("Mul", mask, nodes.ints(0))
        return nodes, dict(zip(self.inputs, (ids, mask, kinds), strict=False))

    def _symbols(self, nodes: Nodes) -> tuple[str, str, str]:
        """Return all symbols one behind the other, the row of each, and the number of rows."""
        one = nodes.ints(1)
        characters = self._characters(nodes)
        shape = nodes.add("Shape", characters)
        count = nodes.add("Slice", shape, nodes.ints(0), one)
        entry = self._looked_up(nodes, characters)
        table = self._file.symbols
        symbols = nodes.add("Gather", nodes.constant(table, "int64"), entry)
        flat = nodes.add("Reshape", symbols, nodes.ints(-1))
        row = nodes.add("Range", *[nodes.add("Squeeze", x) for x in (
            nodes.ints(0), count, one
        )])  # fmt: skip
        row = nodes.add("Unsqueeze", row, nodes.ints(1))
        width = nodes.add("Mul", nodes.add("Slice", shape, one, nodes.ints(2)),
                          nodes.ints(table.shape[1]))  # fmt: skip
        rows = nodes.add("Expand", row, nodes.add("Concat", count, width, axis=0))
        rows = nodes.add("Reshape", rows, nodes.ints(-1))
        kept = nodes.add("Greater", flat, nodes.ints(-1))
        return (
            nodes.add("Compress", flat, kept, axis=0),
            nodes.add("Compress", rows, kept, axis=0),
            count,
        )

    def _characters(self, nodes: Nodes) -> str:
        """Return the characters and special pieces of texts [rows, characters]; the last fills."""
        special = "|".join(re.escape(token) for token in self._file.special)
        expression = (special + "|" if special else "") + "(?s:.)"
        characters = nodes.cut(self.name, expression, _FILLER, 2)
        count = nodes.add("Shape", self.name)
        shape = nodes.add("Concat", count, nodes.ints(1), axis=0)
        return nodes.add(
            "Concat", characters, nodes.add("Expand", nodes.texts(_FILLER), shape), axis=1
        )

    def _looked_up(self, nodes: Nodes, characters: str) -> str:
        """Return the rows of the table of symbols, of those that have one of their own or not."""
        entries = {**self._file.entries, _FILLER: self._file.breaks}
        entry = nodes.add(
            "LabelEncoder",
            characters,
            domain="ai.onnx.ml",
            keys_strings=list(entries),
            values_int64s=list(entries.values()),
            default_int64=0,
        )
        for row, ranges in self._file.ranges.items():
            fits = nodes.cut(characters, ranges, _FILLER, 3)
            fits = nodes.add(
                "LabelEncoder",
                fits,
                domain="ai.onnx.ml",
                keys_strings=[_FILLER],
                values_int64s=[0],
                default_int64=row,
            )
            # Of characters that nothing fits there is no token at all: [rows, characters, 0].
            shape = nodes.add("Concat", nodes.add("Shape", characters), nodes.ints(1), axis=0)
            none = nodes.add("Expand", nodes.ints(0), shape)
            found = nodes.add(
                "ReduceMax", nodes.add("Concat", fits, none, axis=2), nodes.ints(2), keepdims=0
            )
            entry = nodes.add("Max", entry, found)
        return entry

    def _padded(self, nodes: Nodes, numbers: str, rows: str, count: str) -> tuple[str, str]:
        """Return numbers and mask [rows, pieces], with what is put around each text."""
        zero, one = nodes.ints(0), nodes.ints(1)
        first, last = self._file.around
        each = nodes.add("Expand", zero, count)
        ones = nodes.add("Expand", one, nodes.add("Shape", rows))
        lengths = nodes.add("ScatterElements", each, rows, ones, reduction="add")
        axis = nodes.constant(0, "int64")
        offsets = nodes.add("CumSum", lengths, axis, exclusive=1)
        places = nodes.add("CumSum", ones, axis, exclusive=1)
        places = nodes.add("Sub", places, nodes.add("Gather", offsets, rows))
        room = nodes.ints(self.max_length - len(first) - len(last))
        kept = nodes.add("Less", places, room)
        numbers, places, rows = (
            nodes.add("Compress", x, kept, axis=0) for x in (numbers, places, rows)
        )
        lengths = nodes.add("Unsqueeze", nodes.add("Min", lengths, room), one)
        longest = nodes.add("ReduceMax", nodes.add("Concat", zero, nodes.add(
            "Reshape", lengths, nodes.ints(-1)), axis=0), keepdims=1)  # fmt: skip
        width = nodes.add("Add", longest, nodes.ints(len(first) + len(last)))
        shape = nodes.add("Concat", count, width, axis=0)
        ids = nodes.add("Expand", nodes.ints(self._file.padding), shape)
        columns = nodes.add("Range", *[nodes.add("Squeeze", x) for x in (zero, width, one)])
        for i, number in enumerate(first):
            at = nodes.add("Equal", columns, nodes.ints(i))
            ids = nodes.add("Where", at, nodes.ints(number), ids)
        for i, number in enumerate(last):
            at = nodes.add("Equal", columns, nodes.add("Add", lengths, nodes.ints(len(first) + i)))
            ids = nodes.add("Where", at, nodes.ints(number), ids)
        cells = [nodes.add("Unsqueeze", x, one) for x in (
            rows, nodes.add("Add", places, nodes.ints(len(first)))
        )]  # fmt: skip
        ids = nodes.add("ScatterND", ids, nodes.add("Concat", *cells, axis=1), numbers)
        ends = nodes.add("Add", lengths, nodes.ints(len(first) + len(last)))
        return ids, nodes.add("Cast", nodes.add("Less", columns, ends), to=7)
