"""The table of dtypes agrees with the type annotations, NumPy, ONNX and onnxruntime."""

from __future__ import annotations

import struct
from typing import get_args

import numpy as np
import pytest

from edge_sdk.contract.dtypes import (
    BY_ELEMENT,
    BY_RUNTIME,
    DTYPES,
    FLOAT_CODES,
    ITEM_BYTES,
    Dtype,
    NumericDtype,
)


def test_every_annotated_dtype_has_one_line_in_the_table() -> None:
    assert set(DTYPES) == set(get_args(Dtype))
    assert set(ITEM_BYTES) == set(get_args(NumericDtype))


def test_no_two_dtypes_share_a_name_in_another_format() -> None:
    assert len(BY_ELEMENT) == len(BY_RUNTIME) == len(DTYPES)


@pytest.mark.parametrize("name", sorted(ITEM_BYTES))
def test_numpy_stores_what_the_struct_code_reads(name: str) -> None:
    code = DTYPES[name].code  # type: ignore[index]
    value = np.ones((), name)
    assert value.dtype.itemsize == ITEM_BYTES[name]
    assert struct.unpack("=" + str(code), value.tobytes()) == (value.item(),)


def test_floating_point_dtypes_are_those_of_numpy() -> None:
    assert set(FLOAT_CODES) == {name for name in ITEM_BYTES if np.dtype(name).kind == "f"}


def test_the_element_numbers_are_those_of_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    for name, info in DTYPES.items():
        assert onnx.helper.tensor_dtype_to_np_dtype(info.element) == np.dtype(
            object if name == "string" else name
        )
