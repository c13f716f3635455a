"""Archives of rows that lie about themselves: small files that become terabytes, damage."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.npz import check_arrays
from cloud_hub.errors import Invalid
from edge_sdk.model.release import save_arrays


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, raw in entries.items():
            file.writestr(f"{name}.npy", raw)
    return buffer.getvalue()


LIES = {
    "more rows than there is memory": archive(X=header((1 << 40, 4))),
    "more rows than there are bytes": archive(X=header((1_000, 4)) + b"\0" * 16),
    "a negative number of rows": archive(X=header((-1, 4))),
    "objects, which would be pickles": archive(X=header((1, 4), "|O") + b"cos\nsystem\n"),
    "one label for all rows": archive(X=header((2, 2)) + b"\0" * 16, y=header(()) + b"\0" * 4),
    "no array": archive(X=b"text"),
    "no rows": archive(y=header((1,)) + b"\0" * 4),
}


@pytest.mark.parametrize("case", LIES)
def test_an_archive_that_lies_is_refused_with_a_reason(case: str) -> None:
    with pytest.raises(Invalid, match=r"dataset: .*expected"):
        Dataset.from_bytes(LIES[case])


def test_a_small_archive_of_a_large_array_is_refused_before_it_is_unpacked() -> None:
    raw = save_arrays({"X": np.zeros((1 << 20, 4), np.float32)})
    assert len(raw) < 100_000
    with pytest.raises(Invalid, match="at most 1000000 bytes unpacked, got 16777"):
        check_arrays(raw, 1_000_000, "rows")
    check_arrays(raw, 1 << 25, "rows")


GOOD = save_arrays({"X": np.ones((20, 3), np.float32), "y": np.arange(20)})


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=5),
    st.integers(0, len(GOOD)),
)
def test_damage_is_refused_and_raises_nothing_else(
    changes: list[tuple[int, int]], cut: int
) -> None:
    raw = bytearray(GOOD)
    for place, byte in changes:
        raw[place] = byte
    for damaged in (bytes(raw), bytes(raw[:cut])):
        try:
            Dataset.from_bytes(damaged)
        except Invalid:
            continue
