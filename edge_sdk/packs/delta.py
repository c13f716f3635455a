"""Deltas between two packs: small to send, quick to apply.

Invariants:

* :func:`apply_delta` restores byte for byte the pack that :func:`write_delta` read: its length, the
  SHA-256 of the file and of the pack's body are checked before it is visible. Otherwise it raises
  :class:`PackError` and leaves nothing behind.
* No step of either loops over the entries in Python.
"""

from __future__ import annotations

import hashlib
import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.key import KEY_BYTES
from edge_sdk.contract.limits import PACK_HEADER_BYTES
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.pack import PREFIX, PackHeader, Sections, parse_header
from edge_sdk.contract.pack import sections as sections_of
from edge_sdk.contract.pack_delta import (
    SEAL_BYTES,
    DeltaHeader,
    Indices,
    Width,
    parse_delta_header,
    why_no_delta,
)  # fmt: skip
from edge_sdk.errors import ContractError, PackError, reason_of
from edge_sdk.packs.layout import checks_of, directory_of, filter_of, halves
from edge_sdk.system.files import write_atomic

Bytes = NDArray[np.uint8]
Entries = NDArray[np.int64]
"""Indices of entries, ascending."""

_GAP_DTYPES: Final[dict[Width, str]] = {1: "u1", 2: "<u2", 4: "<u4"}


@dataclass(frozen=True)
class _Content:
    """The sections of a pack as arrays: ``keys`` [count, 16], ``values`` [count, bytes]."""

    header: PackHeader
    whole: Bytes
    head: Bytes
    keys: Bytes
    values: Bytes


@dataclass(frozen=True)
class _Difference:
    """Difference of two packs: ``removed`` and ``changed`` index old entries, the others new."""

    removed: Entries
    changed: Entries
    changed_to: Entries
    added: Entries


def write_delta(old: str | Path, new: str | Path, path: str | Path) -> DeltaHeader | None:
    """Write the delta between two packs.

    Args:
        old: pack file that devices have.
        new: pack file that they need.
        path: delta file to write.

    Returns:
        The delta's header; ``None`` if nothing was written, because the two packs have different
        layouts (see :func:`~edge_sdk.contract.pack_delta.why_no_delta`) or because the delta would
        not be shorter than the new file.

    Raises:
        PackError: a pack cannot be read, or the delta cannot be written.
    """
    before, after = _content(Path(old)), _content(Path(new))
    if why_no_delta(before.header, after.header) is not None:
        return None
    whole, body = _digests(after.whole, len(after.head))
    if body != after.header.body:
        raise PackError(f"{new}: its content is damaged (SHA-256 differs)")
    reference = FileRef(len(after.whole), whole)
    header, raw = _make(before, after, reference)
    if len(raw) >= reference.length:
        return None
    _write(Path(path), raw)
    return header


def compare(old: str | Path, new: str | Path) -> dict[str, int] | str:
    """Count the entries that a delta keeps, changes, adds and removes.

    Returns:
        The counts and the bytes of the delta (``delta_bytes``); or, if there can be no delta, the
        reason in one sentence.

    Raises:
        PackError: a pack cannot be read.
    """
    before, after = _content(Path(old)), _content(Path(new))
    reason = why_no_delta(before.header, after.header)
    if reason is not None:
        return reason
    header, raw = _make(before, after, FileRef(len(after.whole), after.header.body))
    return {
        "same": after.header.count - header.added.count - header.changed.count,
        "changed": header.changed.count,
        "added": header.added.count,
        "removed": header.removed.count,
        "delta_bytes": len(raw),
    }


def apply_delta(old: str | Path, delta: str | Path, path: str | Path) -> PackHeader:
    """Write the pack that ``delta`` makes of ``old``.

    Args:
        old: pack file on the device.
        delta: delta file.
        path: pack file to write.

    Returns:
        The header of the new pack.

    Raises:
        PackError: the delta is damaged or made for another pack, or ``old`` is damaged; ``path`` is
            then as it was before.
    """
    where = Path(delta)
    header, rest = _read(where)
    before = _content(Path(old))
    if _sha256(before.head) != header.base:
        raise PackError(f"{where}: made for another pack than {old}")
    made, result = _applied(where, before, header, rest)
    if _digests(result, header.head) != (header.result.sha256, made.body):
        raise PackError(f"{where}: the result is not the new pack; {old} may be damaged")
    _write(Path(path), result.data)
    return made


def read_delta(path: str | Path) -> DeltaHeader:
    """Return the header of a complete, undamaged delta; raises :class:`PackError`."""
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[DeltaHeader, Bytes]:
    """Return the header and the sections, after every byte was checked."""
    try:
        raw = path.read_bytes()
        header, start = parse_delta_header(raw)
    except (OSError, ContractError) as error:
        raise PackError(f"{path}: cannot read the delta; {reason_of(error)}") from error
    expected = start + sum(header.sizes) + SEAL_BYTES
    if len(raw) != expected:
        raise PackError(f"{path}: expected {expected} bytes, got {len(raw)}; it is truncated")
    content = np.frombuffer(raw, np.uint8)[:-SEAL_BYTES]
    if hashlib.sha256(content.data).digest() != raw[-SEAL_BYTES:]:
        raise PackError(f"{path}: its content is damaged (SHA-256 differs)")
    return header, content[start:]


def _make(before: _Content, after: _Content, result: FileRef) -> tuple[DeltaHeader, bytes]:
    """Return the delta's header and all of its bytes."""
    difference = _difference(before, after)
    removed, changed, added = map(_gaps, (difference.removed, difference.changed, difference.added))
    header = DeltaHeader(
        base=_sha256(before.head),
        result=result,
        head=len(after.head),
        value_bytes=after.header.value_bytes,
        removed=_indices(removed),
        changed=_indices(changed),
        added=_indices(added),
    )
    parts = (
        after.head,
        removed,
        changed,
        after.values[difference.changed_to],
        added,
        after.keys[difference.added],
        after.values[difference.added],
    )
    raw = header.to_bytes() + b"".join(part.tobytes() for part in parts)
    return header, raw + hashlib.sha256(raw).digest()


def _difference(before: _Content, after: _Content) -> _Difference:
    """Compare two packs by sorting their keys together."""
    # A key that both have then stands next to itself; the sort is stable, so the old one is first.
    upper, lower = halves(np.concatenate([before.keys, after.keys]))
    order = np.lexsort((lower, upper))
    same = (np.diff(upper[order]) == 0) & (np.diff(lower[order]) == 0)
    in_old, in_new = order[:-1][same], order[1:][same] - len(before.keys)
    differs = (before.values[in_old] != after.values[in_new]).any(axis=1)
    return _Difference(
        removed=_others(in_old, len(before.keys)),
        changed=in_old[differs],
        changed_to=in_new[differs],
        added=_others(in_new, len(after.keys)),
    )


def _others(entries: Entries, count: int) -> Entries:
    """Return the indices below ``count`` that are not in ``entries``."""
    left = np.ones(count, dtype=bool)
    left[entries] = False
    return np.flatnonzero(left)


def _gaps(entries: Entries) -> NDArray[Any]:
    gaps = np.diff(entries, prepend=-1)
    widest = int(gaps.max(initial=1))
    width: Width = 1 if widest < 1 << 8 else 2 if widest < 1 << 16 else 4
    return gaps.astype(_GAP_DTYPES[width])


def _indices(gaps: NDArray[Any]) -> Indices:
    return Indices(len(gaps), gaps.dtype.itemsize)  # type: ignore[arg-type]


def _applied(
    path: Path, before: _Content, header: DeltaHeader, rest: Bytes
) -> tuple[PackHeader, Bytes]:
    """Return the new pack's header and bytes, whose SHA-256 the caller checks."""
    head, removed, changed, changed_values, added, added_keys, added_values = np.split(
        rest, np.cumsum(header.sizes)
    )[:-1]
    after, place = _new_layout(path, before, header, head.tobytes())
    gone = _entries(path, removed, header.removed, before.header.count)
    other = _entries(path, changed, header.changed, before.header.count)
    more = _entries(path, added, header.added, after.count)
    # Zeros, because the padding between sections is part of the digest.
    result = np.zeros(place.end, np.uint8)
    result[: place.directory] = head
    keys, values = _views(result, after, place)
    carried, old = _others(more, after.count), _others(gone, before.header.count)
    if len(carried) != len(old):
        raise PackError(f"{path}: the delta contradicts itself")
    _carry(before.keys, old, keys, carried)
    _carry(before.values, old, values, carried)
    keys[more] = added_keys.reshape(-1, KEY_BYTES)
    values[more] = added_values.reshape(-1, after.value_bytes)
    new_place = np.zeros(before.header.count, np.int64)
    new_place[old] = carried
    values[new_place[other]] = changed_values.reshape(-1, after.value_bytes)
    directory = directory_of(keys, after.directory_bits)
    for start, made in (
        (place.directory, directory),
        (place.checks, checks_of(directory, after.check_bits, keys, values)),
        (place.filter, filter_of(keys, after.filter_bits)),
    ):
        result[start : start + made.nbytes] = made.view(np.uint8)
    return after, result


def _digests(pack: Bytes, directory: int) -> tuple[str, str]:
    """Return the SHA-256 of the whole file and of its body, computed in parallel."""
    # hashlib releases the GIL; hashing is most of an update's work.
    with ThreadPoolExecutor(1) as pool:
        body = pool.submit(_sha256, pack[directory:])
        return _sha256(pack), body.result()


def _sha256(raw: Bytes) -> str:
    return hashlib.sha256(raw.data).hexdigest()


def _carry(source: Bytes, old: Entries, result: Bytes, new: Entries) -> None:
    """Copy row ``old[i]`` of ``source`` to row ``new[i]`` of ``result``; others get any row."""
    if len(old):
        rows = np.zeros(len(result), np.int64)
        rows[new] = old
        # Rows are taken whole; assignment through an index would go byte by byte.
        np.take(source, rows, axis=0, out=result, mode="clip")


def _new_layout(
    path: Path, before: _Content, header: DeltaHeader, head: bytes
) -> tuple[PackHeader, Sections]:
    try:
        after, directory = parse_header(head)
    except ContractError as error:
        raise PackError(f"{path}: the new pack's header cannot be read; {error}") from error
    place = sections_of(after, directory)
    count = before.header.count - header.removed.count + header.added.count
    fits = (
        why_no_delta(before.header, after) is None
        and after.value_bytes == header.value_bytes
        and (after.count, directory, place.end) == (count, len(head), header.result.length)
    )
    if not fits:
        raise PackError(f"{path}: the delta contradicts itself or the old pack")
    return after, place


def _entries(path: Path, raw: Bytes, indices: Indices, limit: int) -> Entries:
    """Return the indices that the gaps in ``raw`` stand for."""
    gaps = raw.view(_GAP_DTYPES[indices.width])
    entries = np.cumsum(gaps, dtype=np.int64) - 1
    if len(entries) and (int(gaps.min()) < 1 or int(entries[-1]) >= limit):
        raise PackError(f"{path}: expected ascending indices below {limit}")
    return entries


def _content(path: Path) -> _Content:
    """Map the pack at ``path``; it is unmapped with the last array that refers to it."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header, directory = parse_header(data[: PACK_HEADER_BYTES + PREFIX.size])
    except (OSError, ValueError, ContractError) as error:
        raise PackError(f"{path}: cannot open the pack; {reason_of(error)}") from error
    place = sections_of(header, directory)
    if len(data) != place.end:
        raise PackError(f"{path}: expected {place.end} bytes, got {len(data)}; it is truncated")
    raw = np.frombuffer(data, np.uint8)
    return _Content(header, raw, raw[:directory], *_views(raw, header, place))


def _views(raw: Bytes, header: PackHeader, place: Sections) -> tuple[Bytes, Bytes]:
    """Return keys and values of a pack's bytes, one row per entry."""
    keys = raw[place.keys : place.keys + KEY_BYTES * header.count]
    values = raw[place.values : place.values + header.value_bytes * header.count]
    return keys.reshape(-1, KEY_BYTES), values.reshape(header.count, header.value_bytes)


def _write(path: Path, raw: bytes | memoryview) -> None:
    try:
        write_atomic(path, raw)
    except OSError as error:
        raise PackError(f"{path}: cannot write it; {reason_of(error)}") from error
