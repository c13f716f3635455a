"""What applications may give, and one clear refusal for everything else."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.errors import InputError
from edge_sdk.model.schema import InputSchema

OUT = (OutputSpec("y", "float32", (None,)),)
DENSE = Signature(
    (TensorSpec("X", "float32", (None, 3)),),
    OUT,
    tuple(Column(f"f{i}", "float32", "X", i) for i in range(3)),
)
MIXED = Signature(
    (TensorSpec("age", "int64", (None, 1)), TensorSpec("city", "string", (None, 1))),
    OUT,
    (Column("age", "int64", "age"), Column("city", "string", "city")),
)
FEED = Signature((TensorSpec("a", "float32", (None, 2, None)), TensorSpec("b", "int64", (1,))), OUT)

ROWS = {
    "a float32 array": np.array([1, 2, 3], np.float32),
    "a float64 array": np.array([1.0, 2, 3]),
    "an int array": np.array([1, 2, 3]),
    "a list": [1, 2.0, 3],
    "a tuple": (1, 2, 3),
    "a dict in any order": {"f2": 3, "f0": 1, "f1": 2},
    "NumPy scalars": [np.float64(1), np.int8(2), np.float32(3)],
    "another byte order": np.array([1, 2, 3], ">f4"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_however_it_is_given_becomes_the_same_tensor(case: str) -> None:
    feed = InputSchema(DENSE).row(ROWS[case])
    assert feed["X"].tolist() == [[1.0, 2.0, 3.0]]
    assert feed["X"].dtype == np.float32


# sentence: (signature, input, kind, what the message says)
REFUSED: dict[str, tuple[Signature, Any, str, str]] = {
    "too few features": (DENSE, [1, 2], "shape", "expected 3 features, got 2"),
    "too many in an array": (DENSE, np.zeros(4), "shape", "expected rows of 3 features"),
    "two dimensions": (DENSE, np.zeros((2, 3)), "shape", "expected a row of 3 features"),
    "a number alone": (DENSE, 5, "shape", "got int"),
    "a text": (DENSE, "abc", "shape", "got str"),
    "nothing": (DENSE, None, "shape", "got NoneType"),
    "a text for a number": (DENSE, [1, "two", 3], "dtype", "'f1': expected a number, got 'two'"),
    "an array of texts": (DENSE, np.array(["a", "b", "c"]), "dtype", "expected float32"),
    "complex numbers": (DENSE, np.zeros(3, complex), "dtype", "expected float32"),
    "a NaN": (DENSE, np.array([1, np.nan, 3], np.float32), "missing", "'f1': expected a finite"),
    "a None": (DENSE, [1, 2, None], "missing", "'f2'"),
    "an infinity": (DENSE, [1, float("inf"), 3], "not_finite", "'f1'"),
    "a number beyond float32": (DENSE, [1e300, 2, 3], "dtype", "'f0': expected float32, got 1e"),
    "a missing feature": (DENSE, {"f0": 1, "f1": 2}, "missing", "expected feature 'f2'"),
    "an unknown feature": (
        DENSE, {"f0": 1, "f1": 2, "f2": 3, "f3": 4}, "unknown_feature", "'f3' is no feature",
    ),
    "a fraction for an integer": (
        MIXED, {"age": 4.5, "city": "x"}, "dtype", "'age': expected int64",
    ),
    "a number for a text": (MIXED, {"age": 4, "city": 7}, "dtype", "'city': expected a string"),
    "a None for a text": (MIXED, {"age": 4, "city": None}, "missing", "'city'"),
    "a None for an integer": (MIXED, {"age": None, "city": "x"}, "missing", "'age'"),
    "a feed without an input": (FEED, {"a": np.zeros((1, 2, 5))}, "shape", "the inputs ['a', 'b']"),
    "a feed of another shape": (
        FEED, {"a": np.zeros((1, 3, 5)), "b": np.zeros(1, int)}, "shape",
        "'a': expected shape [any, 2, any], got [1, 3, 5]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_row_that_does_not_fit_is_refused_by_name(case: str) -> None:
    signature, given, kind, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        InputSchema(signature).row(given)
    assert caught.value.kind == kind
    assert message in str(caught.value)


def test_a_batch_without_the_axis_of_rows_is_told_what_to_do() -> None:
    with pytest.raises(InputError, match=re.escape("got [2, 5]; axis 0 is that of the rows")):
        InputSchema(FEED).batch({"a": np.zeros((2, 5)), "b": np.zeros(1, int)})


BATCHES: dict[str, Any] = {
    "a 2-D array": np.array([[1, 2, 3], [4, 5, 6]]),
    "a list of rows": [[1, 2, 3], (4, 5, 6)],
    "a list of dicts": [{"f0": 1, "f1": 2, "f2": 3}, {"f2": 6, "f1": 5, "f0": 4}],
    "columns by name": {"f0": [1, 4], "f1": np.array([2, 5]), "f2": (3, 6)},
}


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_however_it_is_given_becomes_the_same_tensor(case: str) -> None:
    assert InputSchema(DENSE).batch(BATCHES[case])["X"].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (np.zeros((0, 3)), "empty"),
        ([], "empty"),
        ({"f0": [], "f1": [], "f2": []}, "empty"),
        (np.zeros(3), "shape"),
        (np.zeros((2, 4)), "shape"),
        ({"f0": [1], "f1": [1, 2], "f2": [1]}, "shape"),
        (5, "shape"),
        (None, "shape"),
        ([[1, 2, 3], [4, 5]], "shape"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(given: Any, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        InputSchema(DENSE).batch(given)
    assert caught.value.kind == kind


def test_missing_values_pass_where_the_release_allows_them_and_infinities_never() -> None:
    schema = InputSchema(DENSE, missing=True)
    assert np.isnan(schema.row([1, None, float("nan")])["X"][0, 1:]).all()
    with pytest.raises(InputError):
        schema.row([1, float("inf"), 2])


def test_a_data_frame_is_a_batch() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"city": ["Oslo", "Łódź"], "age": [4, 5]})
    feed = InputSchema(MIXED).batch(frame)
    assert feed["age"].tolist() == [[4], [5]]
    assert feed["city"].tolist() == [["Oslo"], ["Łódź"]]


def test_a_feed_keeps_its_own_shapes() -> None:
    feed = InputSchema(FEED).row({"a": np.zeros((1, 2, 5)), "b": [3]})
    assert (feed["a"].shape, feed["a"].dtype, feed["b"].tolist()) == ((1, 2, 5), np.float32, [3])


def test_a_feed_of_several_rows_is_no_single_input() -> None:
    with pytest.raises(InputError, match="'a'.*size 1 along axis 0, got 7.*use predict_batch"):
        InputSchema(FEED).row({"a": np.zeros((7, 2, 5)), "b": [3]})


def test_rows_are_counted_along_the_axis_that_the_signature_names() -> None:
    time_major = Signature(
        (TensorSpec("x", "float32", (None, None, 2), batch=1),),
        (OutputSpec("y", "float32", (None, None), batch=1),),
    )
    schema = InputSchema(time_major)
    assert schema.row(np.zeros((9, 1, 2)))["x"].shape == (9, 1, 2)
    assert schema.batch(np.zeros((9, 4, 2)))["x"].shape == (9, 4, 2)
    with pytest.raises(InputError, match="size 1 along axis 1, got 4"):
        schema.row(np.zeros((9, 4, 2)))
    with pytest.raises(InputError, match="at least one row"):
        schema.batch(np.zeros((9, 0, 2)))


def test_inputs_of_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(InputError, match="as many rows each, got {'a': 7, 'b': 3}"):
        InputSchema(FEED).batch({"a": np.zeros((7, 2, 5)), "b": [1, 2, 3]})
