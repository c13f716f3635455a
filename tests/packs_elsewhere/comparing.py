"""What Python's reader says, in the form in which the other readers answer."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import FLOAT_CODES
from edge_sdk.packs.reader import Pack


def looked_up(pack: Pack, keys: Sequence[bytes]) -> bytes:
    """Entry of each key as int64, and the values of those that are there: int64, or doubles."""
    out = []
    for key in keys:
        entry = pack.find(key)
        out.append(struct.pack("<q", entry))
        if entry >= 0:
            stored = pack.entry(entry)
            out += [as_eight_bytes(stored[field.name]) for field in pack.header.fields]
    return b"".join(out)


def as_eight_bytes(array: NDArray[Any]) -> bytes:
    """Each number as a double if it is a float, else as an int64."""
    wide = "<f8" if array.dtype.name in FLOAT_CODES else "<i8"
    return np.ascontiguousarray(array).astype(wide).tobytes()


def plain_header(pack: Pack) -> dict[str, Any]:
    """The header as ``describe`` gives it."""
    header = pack.header
    names = ("model", "version", "manifest", "canonicaliser", "answered_by", "body", "count")
    about = header.entities
    fields = [
        {
            **{n: getattr(field, n) for n in ("name", "role", "dtype", "encoding", "max_error")},
            "shape": list(field.shape),
            "default": header.defaults.get(field.name),
            "categories": list(header.categories.get(field.name, ())),
        }
        for field in header.fields
    ]
    of_entities = about and {
        **{n: getattr(about, n) for n in ("job", "share", "generation", "top", "computed_at")},
        **{n: getattr(about, n) for n in ("threshold", "default")},
        "classes": list(about.classes),
        "default_items": list(about.default_items),
    }
    plain = {name: getattr(header, name) for name in names}
    return {**plain, "expires": header.expires, "fields": fields, "entities": of_entities}


def same(ours: Any, theirs: Any) -> bool:
    """Compare plain values; numbers by value, NaN equal to itself."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[n], theirs[n]) for n in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and math.isnan(ours):
        return isinstance(theirs, float) and math.isnan(theirs)
    return bool(ours == theirs)
