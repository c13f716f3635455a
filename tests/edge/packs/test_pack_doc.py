"""A reader and a patcher written from docs/PACK.md alone agree with ours.

Only the standard library is used below the line; nothing of the package.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.manifest import Column, OutputSpec, TensorSpec
from edge_sdk.contract.version import DELTA_FORMAT, PACK_FORMAT
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.packs.delta import write_delta
from edge_sdk.packs.reader import Pack
from tests.contract.examples import SIGNATURE
from tests.edge.builders import make_release, rows
from tests.edge.packs.builders import random_keys, with_outputs, write

DOC = (Path(__file__).parents[3] / "docs" / "PACK.md").read_text()

# --- from the document ----------------------------------------------------------------------------

LETTERS = {
    "float16": "e", "float32": "f", "float64": "d", "int8": "b", "uint8": "B", "int16": "h",
    "int32": "i", "int64": "q", "bool": "?",
}  # fmt: skip


def aligned(offset: int) -> int:
    return (offset + 63) // 64 * 64


class Read:
    """A pack, by the document."""

    def __init__(self, raw: bytes) -> None:
        magic, number, length, crc = struct.unpack_from("<8sIII", raw)
        assert (magic, number) == (b"EDGEPACK", 5)
        assert binascii.crc32(raw[20 : 20 + length]) == crc
        self.raw = raw
        self.header = json.loads(raw[20 : 20 + length])
        self.filter_bits = self.header["filter_bits"]
        self.bits, self.count = self.header["directory_bits"], self.header["count"]
        self.check_bits = self.header["check_bits"]
        self.directory = aligned(20 + length)
        self.checks = aligned(self.directory + 4 * (2**self.bits + 1))
        self.filter = aligned(self.checks + 4 * 2**self.check_bits)
        self.keys = aligned(self.filter + 2**self.filter_bits)
        self.values = aligned(self.keys + 16 * self.count)
        self.value_bytes = sum(width(field) for field in self.header["fields"])
        assert len(raw) == aligned(self.values + self.value_bytes * self.count)
        assert hashlib.sha256(raw[self.directory :]).hexdigest() == self.header["body"]

    def find(self, key: bytes) -> int | None:
        (top,) = struct.unpack(">I", key[:4])
        if not self.raw[self.filter + (top >> (32 - self.filter_bits))] >> top % 8 & 1:
            return None
        assert self.is_sound(top >> (32 - self.check_bits))
        at = self.directory + 4 * (top >> (32 - self.bits))
        first, last = struct.unpack_from("<2I", self.raw, at)
        for entry in range(first, last):
            if self.key(entry) == key:
                return entry
        return None

    def is_sound(self, block: int) -> bool:
        buckets = 2 ** (self.bits - self.check_bits)
        edges = self.raw[self.directory + 4 * buckets * block :][: 4 * (buckets + 1)]
        first, last = struct.unpack("<I", edges[:4])[0], struct.unpack("<I", edges[-4:])[0]
        keys = self.raw[self.keys + 16 * first : self.keys + 16 * last]
        size = self.value_bytes
        values = self.raw[self.values + size * first : self.values + size * last]
        (expected,) = struct.unpack_from("<I", self.raw, self.checks + 4 * block)
        return binascii.crc32(edges + keys + values) == int(expected)

    def key(self, entry: int) -> bytes:
        return self.raw[self.keys + 16 * entry : self.keys + 16 * entry + 16]

    def value(self, entry: int) -> bytes:
        at = self.values + entry * self.value_bytes
        return self.raw[at : at + self.value_bytes]

    def get(self, key: bytes) -> dict[str, list[Any]] | None:
        entry = self.find(key)
        if entry is None:
            return None
        found, raw = {}, self.value(entry)
        for field in self.header["fields"]:
            found[field["name"]] = numbers(field, raw[: width(field)])
            raw = raw[width(field) :]
        return found


def items(field: dict[str, Any]) -> int:
    count = 1
    for n in field["shape"]:
        count *= n
    return count


def width(field: dict[str, Any]) -> int:
    return items(field) * struct.calcsize("<" + LETTERS[field.get("encoding") or field["dtype"]])


def numbers(field: dict[str, Any], raw: bytes) -> list[Any]:
    letter = LETTERS[field.get("encoding") or field["dtype"]]
    stored = struct.unpack(f"<{items(field)}{letter}", raw)
    if field.get("encoding") != "uint8":
        return list(stored)
    read = [field["offset"] + field["scale"] * code for code in stored]
    form = f"<{items(field)}{LETTERS[field['dtype']]}"
    return list(struct.unpack(form, struct.pack(form, *read)))


def key_of(canonicaliser: str, canonical: bytes) -> bytes:
    named = canonicaliser.encode() + b"\0" + canonical
    return struct.pack(">I", binascii.crc32(named)) + hashlib.sha256(named).digest()[:12]


def patched(old: Read, delta: bytes) -> bytes:
    """The new pack, by the document; slow and simple."""
    magic, number, length = struct.unpack_from("<8sII", delta)
    assert (magic, number) == (b"EDGEDLTA", 1)
    assert hashlib.sha256(delta[:-32]).digest() == delta[-32:]
    header = json.loads(delta[16 : 16 + length])
    assert hashlib.sha256(old.raw[: old.directory]).hexdigest() == header["base"]
    rest, size = delta[16 + length :], header["value_bytes"]

    def take(count: int) -> bytes:
        nonlocal rest
        part, rest = rest[:count], rest[count:]
        return part

    def indices(section: dict[str, int]) -> list[int]:
        letter = {1: "B", 2: "H", 4: "I"}[section["width"]]
        raw = take(section["count"] * section["width"])
        found, index = [], -1
        for gap in struct.unpack(f"<{section['count']}{letter}", raw):
            index += gap
            found.append(index)
        return found

    head = take(header["head"])
    removed = set(indices(header["removed"]))
    changed = indices(header["changed"])
    new_values = {entry: take(size) for entry in changed}
    places = indices(header["added"])
    added = [(place, take(16)) for place in places]
    entries = [
        (old.key(i), new_values.get(i, old.value(i))) for i in range(old.count) if i not in removed
    ]
    for place, key in added:
        entries.insert(place, (key, take(size)))
    new = json.loads(head[20 : 20 + struct.unpack_from("<I", head, 12)[0]])
    bits, filter_bits = new["directory_bits"], new["filter_bits"]
    buckets = 2 ** (bits - new["check_bits"])
    checks = [struct.unpack(">I", key[:4])[0] for key, _ in entries]
    tops = [check >> (32 - bits) for check in checks]
    marks = bytearray(2**filter_bits)
    for check in checks:
        marks[check >> (32 - filter_bits)] |= 1 << check % 8
    counts = [sum(top < bucket for top in tops) for bucket in range(2**bits)] + [len(entries)]
    crcs = []
    for begin in range(0, 2**bits, buckets):
        edges = counts[begin : begin + buckets + 1]
        inside = entries[edges[0] : edges[-1]]
        crc = binascii.crc32(struct.pack(f"<{len(edges)}I", *edges))
        crc = binascii.crc32(b"".join(key for key, _ in inside), crc)
        crcs.append(binascii.crc32(b"".join(value for _, value in inside), crc))
    made = head
    for section in (
        struct.pack(f"<{len(counts)}I", *counts),
        struct.pack(f"<{len(crcs)}I", *crcs),
        bytes(marks),
        b"".join(key for key, _ in entries),
        b"".join(value for _, value in entries),
    ):
        made += section + bytes(-len(section) % 64)
    expected = (header["result"]["length"], header["result"]["sha256"])
    assert (len(made), hashlib.sha256(made).hexdigest()) == expected
    return made


# --- against ours ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    made = make_release(tmp_path_factory.mktemp("release"))
    return with_outputs(
        made,
        OutputSpec("label", "string", (None,), "label"),
        OutputSpec("p", "float32", (None, 3), "probabilities"),
        OutputSpec("half", "float64", (None, 2, 2)),
        OutputSpec("raw", "int64", (None, 1)),
        OutputSpec("flag", "bool", (None,)),
        classes=("a", "b", "c"),
    )


def outputs(count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, count)
    return {
        "label": labels.astype(np.uint8),
        "p": (np.eye(3)[labels] * 0.9 + random.random((count, 3)) * 0.1).astype(np.float32),
        "half": random.normal(size=(count, 2, 2)),
        "raw": random.integers(-(2**40), 2**40, (count, 1)),
        "flag": random.random(count) < 0.5,
    }


ENCODINGS = {"p": "uint8", "half": "float16"}


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_a_reader_written_from_the_document_reads_the_same(
    release: Release, tmp_path: Path, count: int
) -> None:
    keys = random_keys(count)
    write(tmp_path / "p", release, keys, **outputs(count), encodings=ENCODINGS)
    read = Read((tmp_path / "p").read_bytes())
    with Pack.open(tmp_path / "p", release) as pack:
        for key in map(bytes, [*keys, *random_keys(20, seed=8)]):
            ours, theirs = pack.get(key), read.get(key)
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                assert {n: a.ravel().tolist() for n, a in ours.items()} == theirs


def test_a_patcher_written_from_the_document_makes_the_same_file(
    release: Release, tmp_path: Path
) -> None:
    given, keys = outputs(300), random_keys(300)
    write(tmp_path / "old", release, keys[:290], **{n: a[:290] for n, a in given.items()})
    given["raw"][40:50] += 1
    write(tmp_path / "new", release, keys[9:], expires=7, **{n: a[9:] for n, a in given.items()})
    assert write_delta(tmp_path / "old", tmp_path / "new", tmp_path / "d") is not None
    old = Read((tmp_path / "old").read_bytes())
    made = patched(old, (tmp_path / "d").read_bytes())
    assert made == (tmp_path / "new").read_bytes()


def test_keys_made_by_the_document_are_ours(release: Release) -> None:
    row = rows(1)[0]
    row[1] = -0.0
    canonical = struct.pack("<4f", *(0.0 if x == 0 else x for x in row.tolist()))
    ours = Canonicaliser(release.manifest.signature)
    assert ours.key(row.tobytes()) == key_of("dense-float32-v1", canonical)
    mixed = Canonicaliser(SIGNATURE)
    assert SIGNATURE.columns == (
        Column("age", "float32", "age"), Column("city", "string", "city"),
    )  # fmt: skip
    assert SIGNATURE.inputs[1] == TensorSpec("city", "string", (None, 1))
    feed = InputSchema(SIGNATURE).row({"age": 41.0, "city": "Łódź"})
    town = "Łódź".encode()
    canonical = struct.pack("<fI", 41.0, len(town)) + town
    assert mixed.feed_key(feed) == key_of("columns-v1", canonical)


def test_the_document_is_of_these_formats_and_names_every_member(
    release: Release, tmp_path: Path
) -> None:
    assert f"## Pack, format {PACK_FORMAT}" in DOC
    assert f"## Delta, format {DELTA_FORMAT}" in DOC
    write(tmp_path / "p", release, random_keys(3), **outputs(3), encodings=ENCODINGS, expires=9)
    header = Read((tmp_path / "p").read_bytes()).header
    members = {*header, *header["fields"][1], "base", "result", "head", "value_bytes"}
    named = set(re.findall(r"`([a-z_]+)`", DOC))
    assert members - named == set()
