"""Samples of modules: arrays by name, or one clear refusal; no framework is needed for that."""

from __future__ import annotations

import numpy as np
import pytest

from converters import ConversionError
from converters.frameworks.exported_module import in_blocks
from converters.frameworks.module_samples import largest_of, open_axes, samples_of


def test_floats_take_the_dtype_of_the_module_and_whole_numbers_become_indices():
    feed = {"a": np.zeros((2, 3)), "b": np.zeros((2, 3), np.int32), "c": np.zeros(2, np.uint8)}
    (typed,) = samples_of(feed, ["a", "b", "c"], "float16")
    assert {n: a.dtype.name for n, a in typed.items()} == {
        "a": "float16", "b": "int64", "c": "uint8"
    }  # fmt: skip


def test_feeds_are_joined_in_the_order_of_the_inputs():
    feeds = [{"b": np.ones((1, 2)), "a": np.zeros((1, 3))}] * 4
    (joined,) = samples_of(feeds, ["a", "b"], "float32")
    assert {name: array.shape for name, array in joined.items()} == {"a": (4, 3), "b": (4, 2)}


def test_rows_of_several_shapes_are_feeds_and_what_differs_is_open():
    texts = {"ids": [[1, 2], [3, 4], [5, 6, 7]], "mask": [[1, 1], [1, 1], [1, 1, 1]]}
    feeds = samples_of(texts, ["ids", "mask"], "float32")
    assert [feed["ids"].tolist() for feed in feeds] == [[[1, 2], [3, 4]], [[5, 6, 7]]]
    assert open_axes(feeds, batched=True) == {"ids": [0, 1], "mask": [0, 1]}
    assert largest_of(feeds) is feeds[1]


def test_without_rows_each_array_of_a_list_is_one_input():
    feeds = samples_of([np.zeros((2, 3)), np.zeros((5, 3))], ["x"], "float32", batched=False)
    assert [feed["x"].shape for feed in feeds] == [(2, 3), (5, 3)]
    assert open_axes(feeds, batched=False) == {"x": [0]}
    (one,) = samples_of([[1, 2], [3, 4]], ["x"], "float32", batched=False)
    assert one["x"].shape == (2, 2)


REFUSED = {
    "a generator": ((row for row in np.zeros((2, 3))), "more than once"),
    "rows with other axes": ([np.zeros(3), np.zeros((4, 1))], "row 1"),
    "feeds with other axes": ([{"x": np.zeros((1, 3))}, {"x": np.zeros((1, 4, 1))}], "row 1"),
    "lists of several lengths in a row": ([[[1, 2], [3]], [[1, 2], [3]]], "in one row"),
    "feeds of other inputs": ([{"x": np.zeros((1, 3))}, {"z": np.zeros((1, 3))}], "same inputs"),
    "text": (np.array(["a", "b"]), "expected numbers"),
    "no rows": (np.zeros((0, 3)), "expected rows"),
    "numbers beyond float32": (np.full((2, 3), 1e300), "float32"),
    "a set": ({1, 2}, "expected an array"),
    "nothing": (None, "more than once"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_samples_are_refused(case):
    X, message = REFUSED[case]
    with pytest.raises(ConversionError, match=message):
        samples_of(X, ["x"], "float32")


def test_inputs_of_different_numbers_of_rows_are_refused():
    feed = {"a": np.zeros((5, 3)), "b": np.zeros((1, 3))}
    with pytest.raises(ConversionError, match=r"\{'a': 5, 'b': 1\}.*batched=False"):
        in_blocks(dict, feed, 2)
