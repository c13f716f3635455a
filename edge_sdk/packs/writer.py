"""Writer of packs: sorts the keys, lays out the sections, and puts the file in place atomically."""

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
from edge_sdk.contract.pack import ALIGNMENT, Encoding, PackHeader, ValueField
from edge_sdk.errors import PackError, reason_of
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.encoding import stored_output
from edge_sdk.packs.layout import (
    check_bits_of,
    checks_of,
    directory_of,
    filter_of,
    sizes,
    sorted_order,
)
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
        path: file to write; an existing one is replaced atomically.
        release: release whose inputs the keys stand for.
        keys: uint8 [count, 16], from the release's :class:`edge_sdk.model.keys.Canonicaliser`.
        outputs: one array [count, ...] per stored output, named and typed as in the signature. A
            classifier's ``label`` is stored as the index of the class.
        answered_by: version that gave the answers.
        expires: Unix seconds after which devices stop using it.
        encodings: ``float16`` or ``uint8`` by output name, to store floats in fewer bytes; the
            header then states the largest error.

    Returns:
        The header of the written pack.

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
    """Return the header of a pack before its entries are laid out.

    Args:
        release: release that the pack is for.
        canonicaliser: name of the rule of its keys.
        fields: stored outputs, in order.
        more: other fields of :class:`~edge_sdk.contract.pack.PackHeader`.
    """
    manifest = release.manifest
    return PackHeader(
        *(manifest.model, manifest.version, release.digest, canonicaliser, 0, 0, 0, fields),
        # A valid placeholder; write_entries replaces it when the body is known.
        body="0" * 64,
        **more,
    )


def write_entries(
    path: Path,
    draft: PackHeader,
    keys: NDArray[np.uint8],
    answers: Mapping[str, NDArray[Any]],
    stored: list[NDArray[Any]],
) -> PackHeader:
    """Lay out values under their keys and write the file atomically.

    Args:
        path: file to write.
        draft: header without counts and digests.
        keys: uint8 [count, 16], in any order.
        answers: arrays [count, ...] before encoding, by name.
        stored: arrays [count, ...] whose bytes are stored, in the order of the fields.

    Returns:
        The complete header.

    Raises:
        PackError: one key has two different values in ``answers``, or the file cannot be written.
    """
    ordered, values = _entries(keys, answers, stored)
    directory, filter_ = sizes(len(ordered))
    blocks = check_bits_of(len(ordered), directory, values.shape[1])
    edges = directory_of(ordered, directory)
    sections = (
        edges,
        checks_of(edges, blocks, ordered, values),
        filter_of(ordered, filter_),
        ordered,
        values,
    )
    body = b"".join(_padded(section.tobytes()) for section in sections)
    digest = hashlib.sha256(body).hexdigest()
    header = replace(
        draft,
        count=len(ordered),
        directory_bits=directory,
        filter_bits=filter_,
        check_bits=blocks,
        body=digest,
    )
    try:
        write_atomic(path, header.to_bytes() + body)
    except OSError as error:
        raise PackError(f"{path}: cannot write the pack; {reason_of(error)}") from error
    return header


def _padded(raw: bytes) -> bytes:
    """Pad ``raw`` with zeros up to the next section."""
    return raw + bytes(-len(raw) % ALIGNMENT)


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
    keys: NDArray[np.uint8], answers: Mapping[str, NDArray[Any]], stored: list[NDArray[Any]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the sorted keys and the bytes of their values, equal duplicates once."""
    order = sorted_order(keys)
    ordered = keys[order]
    repeats = np.zeros(len(keys), dtype=bool)
    repeats[1:] = (ordered[1:] == ordered[:-1]).all(axis=1)
    if repeats.any():
        # Compared before encoding, which could hide that two answers differ.
        rows = _value_rows([array[order] for array in answers.values()], len(keys))
        conflicting = repeats[1:] & (rows[1:] != rows[:-1]).any(axis=1)
        if conflicting.any():
            key = ordered[1:][conflicting][0].tobytes().hex()
            raise PackError(f"key {key} has two different answers")
    unique = order[~repeats]
    return ordered[~repeats], _value_rows([array[unique] for array in stored], len(unique))


def _value_rows(arrays: list[NDArray[Any]], count: int) -> NDArray[np.uint8]:
    parts = []
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        size = little.dtype.itemsize * math.prod(little.shape[1:])
        parts.append(little.view(np.uint8).reshape(count, size))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))
