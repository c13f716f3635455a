"""Missing values, and the names of categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_sdk.model.values import category, is_missing


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan")])
def test_none_and_nan_are_missing(value: Any) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, "", "nan", False, float("inf"), np.int64(0)])
def test_everything_else_is_not_missing(value: Any) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (3, "3"), (3.0, "3"), (np.float32(3), "3"), (True, "1"), (np.bool_(False), "0"),
        (2.5, "2.5"), (float("inf"), "inf"), ("3.0", "3.0"), ("", ""),
    ],
)  # fmt: skip
def test_equal_values_have_one_name(value: Any, name: str) -> None:
    assert category(value) == name
