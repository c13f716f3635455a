"""Rows with their labels, as the registry keeps them."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from edge_sdk.contract.limits import MODEL_BYTES
from edge_sdk.model.release import save_arrays

DTYPE_KINDS: Final = "biufU"
"""Kinds of NumPy arrays that rows and labels may be: booleans, integers, floats, texts."""

UNREADABLE: Final = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, OverflowError, MemoryError,
    NotImplementedError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip
"""What a damaged archive makes zipfile and NumPy raise; a header may promise any shape."""

MOST_BYTES: Final = MODEL_BYTES
"""Bytes of a dataset's arrays, unpacked."""


@dataclass(frozen=True)
class Dataset:
    """Rows [N, columns] in manifest order with their labels [N], if they have any."""

    rows: NDArray[Any]
    labels: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.rows)

    def to_bytes(self) -> bytes:
        """Return an ``.npz`` with ``X`` and ``y``."""
        return save_arrays({"X": self.rows} | ({} if self.labels is None else {"y": self.labels}))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Dataset:
        """Parse an ``.npz`` with ``X`` and, where there are labels, ``y``; raises Invalid."""
        # np.load would take a bare .npy as well, and answer a text with advice about pickles.
        if not zipfile.is_zipfile(io.BytesIO(raw)):
            raise Invalid("dataset: expected an .npz with X and y, this is no .npz")
        check_unpacked(raw, MOST_BYTES)
        try:
            # Never a pickle: it would run what the uploader put into it.
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                rows = file["X"]
                labels = file["y"] if "y" in file.files else None
        except UNREADABLE as error:
            raise Invalid(f"dataset: expected an .npz with X and y; {error}") from error
        # An entry that is no array comes as bytes.
        if not isinstance(rows, np.ndarray) or not isinstance(labels, np.ndarray | None):
            raise Invalid("dataset: expected an .npz with X and y; an entry is no array")
        if rows.ndim != 2 or (labels is not None and labels.shape[:1] != rows.shape[:1]):
            raise Invalid(f"dataset: expected X [N, columns] and y [N], got X {rows.shape}")
        for name, array in (("X", rows), ("y", labels)):
            if array is not None and array.dtype.kind not in DTYPE_KINDS:
                raise Invalid(f"dataset: {name}: expected numbers or texts, got {array.dtype}")
        return cls(rows, labels)


def check_unpacked(raw: bytes, limit: int) -> None:
    """Check how large an ``.npz`` becomes, before it is unpacked: a small one may hold a terabyte.

    Args:
        raw: the archive.
        limit: bytes that its arrays may take.

    Raises:
        Invalid: it is larger, or no archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            # What an entry says is what is unpacked of it at most.
            size = sum(entry.file_size for entry in archive.infolist())
    except UNREADABLE as error:
        raise Invalid(f"dataset: expected an .npz with X and y; {error}") from error
    if size > limit:
        raise Invalid(f"dataset: expected at most {limit} bytes unpacked, got {size}")
