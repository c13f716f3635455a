"""Keys: equal exactly where the model sees the same input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.schema import InputSchema

WIDTH = 4


def dense(dtype: str = "float32") -> Signature:
    return Signature(
        (TensorSpec("X", dtype, (None, WIDTH)),),  # type: ignore[arg-type]
        (OutputSpec("y", "float32", (None,)),),
        tuple(Column(f"f{i}", dtype, "X", i) for i in range(WIDTH)),  # type: ignore[arg-type]
    )


MIXED = Signature(
    (TensorSpec("a", "float32", (None, 1)), TensorSpec("b", "string", (None, 1)),
     TensorSpec("c", "string", (None, 1))),
    (OutputSpec("y", "float32", (None,)),),
    (Column("a", "float32", "a"), Column("b", "string", "b"), Column("c", "string", "c")),
)  # fmt: skip

FLOATS = hnp.arrays(
    np.float32, WIDTH, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
)


def key(x: Any, signature: Signature = dense()) -> bytes | None:
    return Canonicaliser(signature).feed_key(InputSchema(signature).row(x))


@given(FLOATS)
def test_a_row_has_one_key_however_it_lies_in_memory(row: np.ndarray) -> None:
    expected = key(row)
    assert key(row.tolist()) == expected
    assert key(row.astype(np.float64)) == expected
    assert key(row.astype(">f4")) == expected
    assert key(np.stack([row, row], axis=1).ravel()[::2]) == expected
    assert key({f"f{i}": row[i] for i in range(WIDTH)}) == expected
    assert Canonicaliser(dense()).key(row.tobytes()) == expected


@given(FLOATS, FLOATS)
def test_two_rows_share_a_key_exactly_if_the_model_sees_no_difference(
    a: np.ndarray, b: np.ndarray
) -> None:
    assert (key(a) == key(b)) == bool((a == b).all())


def test_minus_zero_is_zero() -> None:
    assert key([0.0, -0.0, 1.0, -0.0]) == key([0.0, 0.0, 1.0, 0.0])


def test_what_rounds_to_the_same_float32_has_the_same_key() -> None:
    assert key([0.1, 0, 0, 0]) == key(np.array([np.float32(0.1), 0, 0, 0], np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_has_no_key(bad: float) -> None:
    row = np.array([[0, bad, 0, 0]], np.float32)
    assert Canonicaliser(dense()).feed_key({"X": row}) is None


def test_the_same_numbers_in_another_dtype_have_another_key() -> None:
    assert key([1, 2, 3, 4], dense("int64")) != key([1, 2, 3, 4], dense("float32"))


@given(st.text(), st.text(), st.text(), st.text())
def test_texts_cannot_run_into_each_other(a: str, b: str, c: str, d: str) -> None:
    first = key({"a": 1.0, "b": a, "c": b}, MIXED)
    second = key({"a": 1.0, "b": c, "c": d}, MIXED)
    assert (first == second) == ((a, b) == (c, d))


def test_keys_equal_the_golden_vectors() -> None:
    found = {
        "dense": key([0.0, 1.0, -2.5, 3e10]),
        "mixed": key({"a": 1.5, "b": "Łódź", "c": ""}, MIXED),
    }
    assert {name: k.hex() if k else None for name, k in found.items()} == GOLDEN


# Frozen: a pack made today must answer tomorrow's devices.
GOLDEN = {
    "dense": "024db83124794b075036603ae80354eb",
    "mixed": "1ad5feb15d7d840b58270bb1b0d8525a",
}


def test_different_rows_have_different_keys() -> None:
    rows = np.random.default_rng(0).normal(size=(100_000, WIDTH)).astype(np.float32)
    canonicaliser = Canonicaliser(dense())
    assert len({canonicaliser.key(row.tobytes()) for row in rows}) == len(np.unique(rows, axis=0))
