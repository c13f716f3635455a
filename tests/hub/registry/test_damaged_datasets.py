"""Files of rows that are damaged, or lie about what they hold: one clear refusal each."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import HubFault, Invalid

X, Y = np.zeros((5, 4), np.float32), np.zeros(5, np.int64)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def with_header(header: str) -> bytes:
    """An ``.npz`` whose arrays begin with a header of our own."""
    line = header.ljust(117).encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", array)
    return file.getvalue()


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", b"\0")
    raw = file.getvalue()
    place = raw.index(b"PK\x01\x02") + 24  # of the unpacked size, in the directory
    return raw[:place] + struct.pack("<I", 0xFFFFFFF0) + raw[place + 4 :]


REFUSED: dict[str, tuple[bytes, str]] = {
    "a shape that is none": (
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**0, 4)}"),
        "expected an .npz",
    ),
    "exabytes": (
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000)}"),
        "expected an .npz",
    ),
    "a header that ends nowhere": (with_header("("), "expected an .npz"),
    "a size below zero": (
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}"),
        "expected an .npz",
    ),
    "gigabytes when unpacked": (bomb(), "bytes unpacked, got"),
    "complex numbers": (npz(X=X.astype(complex), y=Y), "X: expected numbers or texts"),
    "times": (npz(X=X, y=Y.astype("M8[s]")), "y: expected numbers or texts"),
    "records": (npz(X=np.zeros((5, 4), [("a", "f4")]), y=Y), "X: expected numbers or texts"),
    "bytes": (npz(X=X.astype("S3"), y=Y), "X: expected numbers or texts"),
    "objects": (npz(X=X, y=np.array([None] * 5, dtype=object)), "expected an .npz with X and y"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_of_rows_that_cannot_be_used_is_refused(case: str) -> None:
    raw, reason = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        Dataset.from_bytes(raw)
    assert reason in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_damaged_anywhere_is_rows_or_a_refusal() -> None:
    chance, whole = random.Random(1), npz(X=X, y=Y)
    for _ in range(1_500):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            Dataset.from_bytes(bytes(raw[: chance.choice([len(raw), chance.randrange(len(raw))])]))
        except HubFault:
            continue
