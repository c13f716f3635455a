r"""Documents to word counts and TF-IDF.

Words are cut by onnxruntime's Tokenizer, whose regular expressions know Unicode classes; skl2onnx
gives it ``\w``, which means ASCII there. Capital letters are lowered in the locale ``C.UTF-8``,
which glibc has built in; ``en_US.UTF-8`` is missing on many small devices.

Two letters lower differently in Python, where what follows them matters: the Greek sigma, so a
vocabulary that holds one is refused; and the Turkish capital ``İ``, at which Python splits a word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import STRING, Graph
from converters.lowering.maths import f32, total
from converters.lowering.registry import lowers
from converters.lowering.table import Table

if TYPE_CHECKING:
    from sklearn.feature_extraction import CountVectorizer, TfidfVectorizer

LOCALE: Final = "C.UTF-8"
PADDING: Final = "\x01"
"""Fills short documents up; no word holds it."""

_PATTERNS: Final = {
    r"(?u)\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",
    r"(?u)\b\w+\b": r"[\p{L}\p{N}_]+",
    r"\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",
    r"\b\w+\b": r"[\p{L}\p{N}_]+",
    r"\w+": r"[\p{L}\p{N}_]+",
    r"(?u)\w+": r"[\p{L}\p{N}_]+",
    r"\S+": r"[^\s]+",
}
_PLAIN_CLASS: Final = re.compile(r"\[[A-Za-z0-9_-]+\](\+|\{\d+,\})")


@lowers("transform", "CountVectorizer")
def _lower_count_vectorizer(estimator: CountVectorizer, graph: Graph, rows: Table) -> Table:
    return Table.of(_term_counts(estimator, graph, rows), len(estimator.vocabulary_))


@lowers("transform", "TfidfVectorizer")
def _lower_tfidf_vectorizer(estimator: TfidfVectorizer, graph: Graph, rows: Table) -> Table:
    x = _term_counts(estimator, graph, rows)
    if estimator.sublinear_tf:
        present = graph.op("Greater", x, 0.0)
        # Max first: Where computes both branches, and the logarithm of 0 would be -inf.
        logs = graph.op("Add", graph.op("Log", graph.op("Max", x, 1.0)), 1.0)
        x = graph.op("Where", present, logs, 0.0)
    if estimator.use_idf:
        x = graph.op("Mul", x, f32(estimator.idf_)[None])
    return Table.of(_normalise_rows(graph, x, estimator.norm), len(estimator.vocabulary_))


def _normalise_rows(graph: Graph, x: str, norm: str | None) -> str:
    if norm is None:
        return x
    if norm == "l1":
        size = total(graph, graph.op("Abs", x))
    else:
        size = graph.op("Sqrt", total(graph, graph.op("Mul", x, x)))
    return graph.op("Div", x, graph.op("Where", graph.op("Equal", size, 0.0), 1.0, size))


def _term_counts(estimator: Any, graph: Graph, rows: Table) -> str:
    """Count each term of the vocabulary in each document, float32 [N, terms]."""
    if len(rows.blocks) != 1 or rows.width != 1 or rows.blocks[0].kind != STRING:
        raise UnsupportedModel(f"{type(estimator).__name__}: expected one column of text")
    _check_analyzer(estimator)
    texts = graph.op("Reshape", rows.blocks[0].tensor, np.array([-1], np.int64))
    if estimator.lowercase:
        texts = graph.op("StringNormalizer", texts, case_change_action="LOWER", locale=LOCALE)
    words = graph.op(
        "Tokenizer",
        texts,
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value=PADDING,
        tokenexp=_token_expression(estimator),
    )
    counts = graph.op("TfIdfVectorizer", words, **_vocabulary_attributes(estimator))
    return graph.op("Min", counts, 1.0) if estimator.binary else counts


def _vocabulary_attributes(estimator: Any) -> dict[str, Any]:
    """Return the vocabulary as TfIdfVectorizer takes it: all terms of one word, then of two, ..."""
    low, high = estimator.ngram_range
    terms = sorted(
        (len(term.split(" ")), place, term) for term, place in estimator.vocabulary_.items()
    )
    pool = [word for _, _, term in terms for word in term.split(" ")]
    # Where the terms of each length begin in the pool; a length below ``low`` has no terms.
    starts = [sum(size for size, _, _ in terms if size < n) for n in range(1, high + 1)]
    return {
        "mode": "TF",
        "min_gram_length": low,
        "max_gram_length": high,
        "max_skip_count": 0,
        "ngram_counts": starts,
        "ngram_indexes": [int(place) for _, place, _ in terms],
        "pool_strings": pool,
    }


def _token_expression(estimator: Any) -> str:
    if estimator.token_pattern in _PATTERNS:
        return _PATTERNS[estimator.token_pattern]
    if _PLAIN_CLASS.fullmatch(estimator.token_pattern):
        return str(estimator.token_pattern)
    raise UnsupportedModel(
        f"{type(estimator).__name__}: token_pattern {estimator.token_pattern!r} cannot be "
        f"converted; these can: {', '.join(map(repr, _PATTERNS))}, "
        "and a class of ASCII letters as [a-z]+"
    )


def _check_analyzer(estimator: Any) -> None:
    """Refuse settings that would cut or lower words otherwise than scikit-learn does."""
    own = [n for n in ("preprocessor", "tokenizer", "strip_accents") if getattr(estimator, n)]
    name = type(estimator).__name__
    if own:
        raise UnsupportedModel(f"{name}: {own[0]} cannot be converted; only token_pattern can")
    if estimator.analyzer != "word":
        raise UnsupportedModel(
            f"{name}: analyzer {estimator.analyzer!r} cannot be converted; 'word' can"
        )
    if estimator.stop_words is not None and estimator.ngram_range[1] > 1:
        raise UnsupportedModel(
            f"{name}: stop_words together with terms of several words cannot be converted"
        )
    if estimator.lowercase and any(
        letter in term for term in estimator.vocabulary_ for letter in "σς"
    ):
        raise UnsupportedModel(
            f"{name}: lowercase with Greek words cannot be converted (a final sigma is lowered by "
            "its place); lower the texts before and pass lowercase=False"
        )
