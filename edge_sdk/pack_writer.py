"""Writing a pack: sort the keys, lay out the sections, put the file in place in one step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.manifest import Manifest, OutputSpec
from edge_sdk.contract.pack import ALIGNMENT, ITEM_BYTES, KEY_BYTES, PackHeader, ValueField
from edge_sdk.errors import PackError
from edge_sdk.files import write_atomic
from edge_sdk.keys import Canonicaliser
from edge_sdk.release import Release

ENTRIES_PER_BUCKET: Final = 4


def write_pack(
    path: str | Path,
    release: Release,
    keys: NDArray[np.uint8],
    outputs: Mapping[str, NDArray[Any]],
    *,
    answered_by: str,
    expires: int | None = None,
) -> PackHeader:
    """Write answers for ``release`` to ``path``.

    Args:
        path: where; an existing file is replaced in one step.
        release: whose inputs the keys stand for.
        keys: [count, 16], from :class:`edge_sdk.keys.Canonicaliser` of the release.
        outputs: one array [count, ...] per stored output, named as in the signature. A
            classifier's ``label`` is stored as the index of the class.
        answered_by: the version whose answers these are.
        expires: Unix seconds after which devices stop using it.

    Raises:
        PackError: shapes that do not fit, unknown outputs, or one key with two answers.
    """
    _check(release.manifest, keys, outputs)
    order = _sorted_order(keys)
    ordered = keys[order]
    fields = tuple(_field(release.manifest, name, array) for name, array in outputs.items())
    bits = min(24, max(0, (len(keys) // ENTRIES_PER_BUCKET).bit_length() - 1))
    values = _value_rows([array[order] for array in outputs.values()], len(keys))
    ordered, values = _without_repeats(ordered, values)
    body = b"".join(map(_padded, (_directory(ordered, bits), ordered.tobytes(), values.tobytes())))
    header = PackHeader(
        model=release.manifest.model,
        version=release.manifest.version,
        manifest=release.digest,
        canonicaliser=Canonicaliser(release.manifest.signature).name,
        count=len(ordered),
        directory_bits=bits,
        fields=fields,
        answered_by=answered_by,
        body=hashlib.sha256(body).hexdigest(),
        expires=expires,
    )
    try:
        write_atomic(Path(path), header.to_bytes() + body)
    except OSError as error:
        raise PackError(f"{path}: cannot write the pack; {error}") from error
    return header


def _check(
    manifest: Manifest, keys: NDArray[np.uint8], outputs: Mapping[str, NDArray[Any]]
) -> None:
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES or keys.dtype != np.uint8:
        raise PackError(f"keys: expected uint8 [count, {KEY_BYTES}], got {keys.dtype} {keys.shape}")
    known = {spec.name for spec in manifest.signature.outputs}
    if not outputs or not set(outputs) <= known:
        raise PackError(f"outputs: expected some of {sorted(known)}, got {sorted(outputs)}")
    for name, array in outputs.items():
        if len(array) != len(keys):
            raise PackError(f"{name}: expected {len(keys)} rows, got {len(array)}")
        if array.dtype.name not in ITEM_BYTES:
            raise PackError(f"{name}: expected one of {sorted(ITEM_BYTES)}, got {array.dtype}")


def _field(manifest: Manifest, name: str, array: NDArray[Any]) -> ValueField:
    spec: OutputSpec = next(s for s in manifest.signature.outputs if s.name == name)
    return ValueField(name, spec.role, array.dtype.name, array.shape[1:])  # type: ignore[arg-type]


def _sorted_order(keys: NDArray[np.uint8]) -> NDArray[np.intp]:
    halves = np.ascontiguousarray(keys).view(">u8").reshape(len(keys), 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))


def _value_rows(arrays: list[NDArray[Any]], count: int) -> NDArray[np.uint8]:
    parts = []
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        size = little.dtype.itemsize * math.prod(little.shape[1:])
        parts.append(little.view(np.uint8).reshape(count, size))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _without_repeats(
    keys: NDArray[np.uint8], values: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    again = np.zeros(len(keys), dtype=bool)
    again[1:] = (keys[1:] == keys[:-1]).all(axis=1)
    conflicting = again[1:] & (values[1:] != values[:-1]).any(axis=1)
    if conflicting.any():
        key = keys[1:][conflicting][0].tobytes().hex()
        raise PackError(f"key {key} has two different answers")
    return keys[~again], values[~again]


def _directory(keys: NDArray[np.uint8], bits: int) -> bytes:
    """First entry of each bucket of the top ``bits`` bits, then the count."""
    tops = np.ascontiguousarray(keys[:, :4]).view(">u4").ravel().astype(np.uint64)
    buckets = tops >> np.uint64(32 - bits)
    starts = np.searchsorted(buckets, np.arange((1 << bits) + 1, dtype=np.uint64))
    return starts.astype("<u4").tobytes()


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % ALIGNMENT)
