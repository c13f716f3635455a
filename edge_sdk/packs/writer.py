"""Writing a pack: sort the keys, lay out the sections, put the file in place in one step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.key import KEY_BYTES
from edge_sdk.contract.pack import Encoding, PackHeader, ValueField
from edge_sdk.errors import PackError, reason_of
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.encoding import stored_output
from edge_sdk.packs.layout import directory_of, filter_of, padded, sizes, sorted_order
from edge_sdk.system.files import write_atomic

if TYPE_CHECKING:
    from edge_sdk.model.release import Release


def write_pack(
    path: str | Path,
    release: Release,
    keys: NDArray[np.uint8],
    outputs: Mapping[str, NDArray[Any]],
    *,
    answered_by: str,
    expires: int | None = None,
    encodings: Mapping[str, Encoding] | None = None,
) -> PackHeader:
    """Write answers for ``release`` to ``path``.

    Args:
        path: where; an existing file is replaced in one step.
        release: whose inputs the keys stand for.
        keys: [count, 16], from :class:`edge_sdk.model.keys.Canonicaliser` of the release.
        outputs: one array [count, ...] per stored output, named and typed as in the signature. A
            classifier's ``label`` is stored as the index of the class.
        answered_by: the version whose answers these are.
        expires: Unix seconds after which devices stop using it.
        encodings: ``float16`` or ``uint8`` by output name, to store floats in fewer bytes; the
            header then states the largest error that this makes.

    Raises:
        PackError: shapes or dtypes that do not fit, unknown outputs, an encoding that would change
            a label, or one key with two answers.
    """
    _check(keys, outputs, encodings or {})
    signature = release.manifest.signature
    stored = [
        stored_output(signature, name, array, (encodings or {}).get(name))
        for name, array in outputs.items()
    ]
    draft = draft_header(
        release,
        Canonicaliser(signature).name,
        tuple(field for field, _ in stored),
        answered_by=answered_by,
        expires=expires,
    )
    return write_entries(Path(path), draft, keys, outputs, [array for _, array in stored])


def draft_header(
    release: Release, canonicaliser: str, fields: tuple[ValueField, ...], **more: Any
) -> PackHeader:
    """The header of a pack for ``release`` before its entries are laid out."""
    manifest = release.manifest
    return PackHeader(
        *(manifest.model, manifest.version, release.digest, canonicaliser, 0, 0, 0, fields),
        body="0" * 64,
        **more,
    )


def write_entries(
    path: Path,
    draft: PackHeader,
    keys: NDArray[np.uint8],
    given: Mapping[str, NDArray[Any]],
    stored: list[NDArray[Any]],
) -> PackHeader:
    """Lay out ``stored`` values under their ``keys`` and write the file in one step.

    Raises:
        PackError: one key with two different values in ``given``, or the file cannot be written.
    """
    ordered, values = _entries(keys, given, stored)
    directory, filter_ = sizes(len(ordered))
    sections = (directory_of(ordered, directory), filter_of(ordered, filter_), ordered, values)
    body = b"".join(padded(section.tobytes()) for section in sections)
    digest = hashlib.sha256(body).hexdigest()
    header = replace(
        draft,
        count=len(ordered),
        directory_bits=directory,
        filter_bits=filter_,
        body=digest,
    )
    try:
        write_atomic(path, header.to_bytes() + body)
    except OSError as error:
        raise PackError(f"{path}: cannot write the pack; {reason_of(error)}") from error
    return header


def _check(
    keys: NDArray[np.uint8], outputs: Mapping[str, NDArray[Any]], encodings: Mapping[str, Encoding]
) -> None:
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES or keys.dtype != np.uint8:
        raise PackError(f"keys: expected uint8 [count, {KEY_BYTES}], got {keys.dtype} {keys.shape}")
    if not outputs:
        raise PackError("outputs: expected at least one")
    if not set(encodings) <= set(outputs):
        raise PackError(f"encodings: expected some of {sorted(outputs)}, got {sorted(encodings)}")
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != len(keys):
            raise PackError(f"{name}: expected {len(keys)} rows, got shape {array.shape}")


def _entries(
    keys: NDArray[np.uint8], given: Mapping[str, NDArray[Any]], stored: list[NDArray[Any]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sorted keys and the bytes of their values; the same answer given twice is kept once."""
    order = sorted_order(keys)
    ordered = keys[order]
    again = np.zeros(len(keys), dtype=bool)
    again[1:] = (ordered[1:] == ordered[:-1]).all(axis=1)
    if again.any():
        # What was given must agree: an encoding could hide that two answers differ.
        answers = _value_rows([array[order] for array in given.values()], len(keys))
        conflicting = again[1:] & (answers[1:] != answers[:-1]).any(axis=1)
        if conflicting.any():
            key = ordered[1:][conflicting][0].tobytes().hex()
            raise PackError(f"key {key} has two different answers")
    kept = order[~again]
    return ordered[~again], _value_rows([array[kept] for array in stored], len(kept))


def _value_rows(arrays: list[NDArray[Any]], count: int) -> NDArray[np.uint8]:
    parts = []
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        size = little.dtype.itemsize * math.prod(little.shape[1:])
        parts.append(little.view(np.uint8).reshape(count, size))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))
