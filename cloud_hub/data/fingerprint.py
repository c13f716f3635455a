"""A name for what rows are: the SHA-256 of their content in one canonical form.

The form is of columns, in their order: name, kind, which values are missing, and the values as
little-endian numbers or as UTF-8 with lengths. So the same rows have the same name whatever file
they came from, and whatever library wrote it. The order of rows and columns counts: training sees
it.
"""

from __future__ import annotations

import hashlib

import numpy as np

from cloud_hub.data.columns import kind_of
from cloud_hub.deferred.libraries import pa, pc

PREFIX = b"rows-v1\0"


def fingerprint(table: pa.Table) -> str:
    """Return the hexadecimal digest of a table that :func:`plain_table` returned.

    The table's metadata count: which column is the label is a property of the data.
    """
    digest = hashlib.sha256(PREFIX + b"%d" % table.num_rows)
    metadata = table.schema.metadata or {}
    for key in sorted(metadata):
        if key.startswith(b"edge."):
            digest.update(b"\0" + key + b"\0" + metadata[key])
    for field, column in zip(table.schema, table.columns, strict=True):
        digest.update(column_digest(column.combine_chunks(), field.name))
    return digest.hexdigest()


def column_digest(array: pa.Array, name: str = "") -> bytes:
    """Return the digest of one column: of its kind and content, and of its name if it is given."""
    kind = kind_of(array.type)
    width = str(array.type) if kind == "number" else ""
    digest = hashlib.sha256(f"\0{name}\0{kind}\0{width}\0".encode("utf-8", "surrogatepass"))
    missing = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False))
    digest.update(np.packbits(missing).tobytes())
    if kind == "category":
        array = array.cast(pa.string())
    if kind in ("text", "category"):
        filled = pc.fill_null(array, "").cast(pa.large_string())
        lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False)
        digest.update(lengths.astype("<i8").tobytes())
        digest.update(_bytes_of(filled))
        return digest.digest()
    if kind == "boolean":
        array = array.cast(pa.uint8())
    elif kind == "time":
        array = array.cast(pa.int64())
    values = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
    digest.update(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes())
    return digest.digest()


def _bytes_of(texts: pa.LargeStringArray) -> memoryview:
    """Return all texts, one after the other; a slice begins somewhere in the buffer."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return memoryview(b"")
    places = np.frombuffer(offsets, "<i8")[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[places[0] : places[-1]]
