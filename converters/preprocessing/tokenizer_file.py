"""What a tokenizer of the package tokenizers does, as tables: asked of it for every code point."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.preprocessing.wordpiece import BREAK, FIRST, OTHER, Pieces

NOTHING: Final = -1
"""Fills rows of the table of symbols up."""

_SURROGATES: Final = range(0xD800, 0xE000)
_BLOCK: Final = 256
"""Code points that are normalised together; surrogates fill whole blocks."""

_MANY: Final = 2_000
"""Characters of one row of the table above which they are told apart by ranges."""


@dataclass(frozen=True)
class TokenizerFile:
    """The tables of one tokenizer.

    Attributes:
        tokenizer: a copy of it, which cuts at the length of the release and fills nothing up.
        pieces: the vocabulary by symbols.
        special: pieces that are taken from the text before all else, the longest first.
        symbols: rows of symbols [rows, symbols]; row 0 is that of a character no piece has.
        entries: row of a character or special piece.
        ranges: expression of further characters, by their row.
        breaks: row of a white space.
        around: numbers that are put before and behind a text.
        padding: number that fills up.
    """

    tokenizer: Any
    pieces: Pieces
    special: tuple[str, ...]
    symbols: NDArray[np.int64]
    entries: Mapping[str, int]
    ranges: Mapping[int, str]
    breaks: int
    around: tuple[tuple[int, ...], tuple[int, ...]]
    padding: int

    @classmethod
    def of(cls, tokenizer: Any, max_length: int) -> TokenizerFile:
        """Read a tokenizer.

        Args:
            tokenizer: of the package tokenizers, or of transformers.
            max_length: numbers of the longest text.

        Raises:
            ConversionError: no such tokenizer, or one that works otherwise than BERT's.
        """
        copied = _copy(getattr(tokenizer, "backend_tokenizer", tokenizer))
        does = json.loads(copied.to_str())
        _check(does)
        around = _around(copied, max_length)
        copied.enable_truncation(max_length)
        special = {token["content"]: int(token["id"]) for token in does["added_tokens"]}
        letters, pieces = _pieces(does["model"], special)
        rows, entries, ranges = _rows(_normalised(copied, letters), special, letters)
        width = max(map(len, rows))
        table = [[*row, *[NOTHING] * (width - len(row))] for row in rows]
        padding = special.get("[PAD]", does["model"]["vocab"].get("[PAD]", 0))
        longest_first = tuple(sorted(special, key=len, reverse=True))
        return cls(
            copied, pieces, longest_first, np.array(table, np.int64), entries, ranges,
            rows.index((BREAK,)), around, padding,
        )  # fmt: skip

    def numbers(self, text: str) -> NDArray[np.int64]:
        """Return what the tokenizer itself gives for ``text``."""
        return np.array(self.tokenizer.encode(text).ids, np.int64)


def _copy(tokenizer: Any) -> Any:
    if not hasattr(tokenizer, "to_str") or not hasattr(tokenizer, "encode"):
        raise ConversionError(
            "preprocess: expected a Tokenizer of the package tokenizers, or a fast tokenizer of "
            f"transformers, got {type(tokenizer).__name__}"
        )
    copied = type(tokenizer).from_str(tokenizer.to_str())
    copied.no_padding()
    copied.no_truncation()
    return copied


def _check(does: Mapping[str, Any]) -> None:
    """Refuse what works otherwise than the tokenizer of BERT; raises :class:`ConversionError`."""
    wanted = (
        ("model", "WordPiece"),
        ("normalizer", "BertNormalizer"),
        ("pre_tokenizer", "BertPreTokenizer"),
    )
    for part, kind in wanted:
        found = (does[part] or {}).get("type")
        if found != kind:
            raise ConversionError(
                f"preprocess: tokenizer: expected {kind} as {part.replace('_', ' ')}, as BERT has "
                f"it, got {found}; let the app call the tokenizer, and give the numbers as X"
            )
    for token in does["added_tokens"]:
        if token["lstrip"] or token["rstrip"] or token["single_word"] or token["normalized"]:
            raise ConversionError(
                f"preprocess: tokenizer: expected added tokens as they stand in the text, got "
                f"{token['content']!r}, which is stripped, a whole word only, or normalised"
            )


def _around(tokenizer: Any, max_length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers before and behind the pieces of a text."""
    word = next(piece for piece in sorted(tokenizer.get_vocab()) if piece.isalnum())
    plain = tokenizer.encode(word, add_special_tokens=False).ids
    whole = tokenizer.encode(word)
    places = [i for i in range(len(whole.ids)) if whole.ids[i : i + len(plain)] == plain]
    if not places or any(whole.type_ids):
        raise ConversionError("preprocess: tokenizer: expected texts of kind 0, with [CLS] or none")
    first = tuple(whole.ids[: places[0]])
    last = tuple(whole.ids[places[0] + len(plain) :])
    if not isinstance(max_length, int) or max_length <= len(first) + len(last):
        raise ConversionError(
            f"preprocess: max_length: expected a number above {len(first) + len(last)}, got "
            f"{max_length!r:.40}"
        )
    return first, last


def _pieces(model: Mapping[str, Any], special: Mapping[str, int]) -> tuple[dict[str, int], Pieces]:
    """Return the symbols of characters and special pieces, and the vocabulary by symbols."""
    prefix, vocabulary = model["continuing_subword_prefix"], model["vocab"]
    begin = {piece: n for piece, n in vocabulary.items() if not piece.startswith(prefix)}
    go_on = {
        piece.removeprefix(prefix): n
        for piece, n in vocabulary.items()
        if piece.startswith(prefix) and piece != prefix
    }
    characters = sorted({character for piece in (*begin, *go_on) for character in piece})
    letters = {unit: FIRST + i for i, unit in enumerate([*characters, *special])}
    return letters, Pieces(
        {**_by_symbols(begin, letters), **{(letters[s],): n for s, n in special.items()}},
        _by_symbols(go_on, letters),
        FIRST + len(letters),
        vocabulary[model["unk_token"]],
        model["max_input_chars_per_word"],
    )


def _by_symbols(
    pieces: Mapping[str, int], letters: Mapping[str, int]
) -> dict[tuple[int, ...], int]:
    return {tuple(letters[c] for c in piece): number for piece, number in pieces.items()}


def _normalised(tokenizer: Any, letters: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the symbols of every character that is not simply one which no piece has."""
    became = _each_normalised(tokenizer.normalizer.normalize_str)
    alone, space = _apart(tokenizer.pre_tokenizer, sorted(set("".join(became.values()))))
    found = {}
    for character, text in became.items():
        symbols: list[int] = []
        for each in text:
            if each in space:
                symbols.append(BREAK)
                continue
            symbol = letters.get(each, OTHER)
            symbols += [BREAK, symbol, BREAK] if each in alone else [symbol]
        if set(symbols) != {OTHER}:
            found[character] = _short(symbols)
    return found


def _each_normalised(normalise: Callable[[str], str]) -> dict[str, str]:
    """Return what every character becomes."""
    became = {}
    for start in range(0, sys.maxunicode + 1, _BLOCK):
        if start in _SURROGATES:
            continue
        block = "".join(map(chr, range(start, start + _BLOCK)))
        # Most blocks stay as they are: one call in place of many.
        same = normalise(block) == block
        became.update({each: each if same else normalise(each) for each in block})
    return became


def _short(symbols: Iterable[int]) -> tuple[int, ...]:
    """Several breaks part no more than one."""
    kept: list[int] = []
    for symbol in symbols:
        if not (kept and kept[-1] == symbol == BREAK):
            kept.append(symbol)
    return tuple(kept)


def _apart(pre_tokenizer: Any, characters: list[str]) -> tuple[set[str], set[str]]:
    """Return the characters that are words of their own, and those that only part words."""
    text = "a" + "".join(f"{character}a" for character in characters)
    # Of other characters the words grow together.
    spans = [span for _, span in pre_tokenizer.pre_tokenize_str(text)]
    inside = np.zeros(len(text), bool)
    for start, end in spans:
        inside[start:end] = True
    alone = {text[start] for start, end in spans if end == start + 1 and start % 2 == 1}
    return alone, {text[i] for i in range(1, len(text), 2) if not inside[i]}


def _rows(
    normalised: Mapping[str, tuple[int, ...]],
    special: Iterable[str],
    letters: Mapping[str, int],
) -> tuple[list[tuple[int, ...]], dict[str, int], dict[int, str]]:
    """Return the table of symbols, the rows of characters, and ranges of characters by their row.

    Rows with ranges come first: where a special piece is made of such characters its row is larger.
    """
    by_row: dict[tuple[int, ...], list[str]] = {}
    for character, symbols in normalised.items():
        by_row.setdefault(symbols, []).append(character)
    many = [row for row, characters in by_row.items() if len(characters) > _MANY]
    few = [row for row in by_row if row not in many and row != (BREAK,)]
    own = {(BREAK, letters[token], BREAK): token for token in special}
    rows = [(OTHER,), *many, (BREAK,), *few, *own]
    number = {row: i for i, row in enumerate(rows)}
    entries = {c: number[row] for row in [*few, (BREAK,)] for c in by_row.get(row, ())}
    entries |= {token: number[row] for row, token in own.items()}
    return rows, entries, {number[row]: _expression(by_row[row]) for row in many}


def _expression(characters: Iterable[str]) -> str:
    """Return an expression of RE2 that one of the characters fits."""
    points = sorted(map(ord, characters))
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "[" + "".join(rf"\x{{{low:X}}}-\x{{{high:X}}}" for low, high in ranges) + "]"
