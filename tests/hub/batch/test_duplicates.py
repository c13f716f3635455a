"""Texts that recur are found, and no others."""

from __future__ import annotations

import random

import pyarrow as pa

from cloud_hub.batch.duplicates import hashed, repeated


def test_texts_that_recur_in_different_arrays_are_named() -> None:
    parts = [pa.array(["a", "", "ab", "ü"]), pa.array(["b", "ba", "ü"]), pa.array([""])]
    assert sorted(repeated([lambda: parts])) == ["", "ü"]


def test_different_texts_are_never_taken_for_one() -> None:
    rng = random.Random(0)
    texts = list({"".join(rng.choices("ab\0", k=rng.randrange(12))) for _ in range(20_000)})
    parts = [pa.array(texts[i : i + 999]) for i in range(0, len(texts), 999)]
    assert repeated([lambda: parts[:5], lambda: parts[5:]], 2) == []


def test_a_slice_of_an_array_hashes_as_the_texts_themselves() -> None:
    texts = pa.array(["", "x", "", "yz", ""])
    assert hashed(texts[2:]).tolist() == hashed(pa.array(["", "yz", ""])).tolist()
    assert repeated([lambda: [pa.array([], pa.string())]]) == []
