"""Files that are damaged, or lead a reader astray: refused, or read as Python reads them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.contract.key import ENTITY_ANSWERS
from edge_sdk.contract.limits import PACK_HEADER_BYTES
from edge_sdk.contract.pack import aligned
from edge_sdk.errors import PackError
from edge_sdk.packs.entity_predictions import EntityPredictions
from edge_sdk.packs.reader import Pack
from tests.edge.packs.freeze import FROZEN, NAMES, PACKS
from tests.edge.packs.reading import features as python_features
from tests.packs_elsewhere.comparing import looked_up, plain_header, same
from tests.packs_elsewhere.readers import PROGRAMS, C, PackReader, compiled, node
from tests.waiting import PATIENCE

PACK_FILES: Final = [str(FROZEN / f"{name}.pack") for name in PACKS]
Header = dict[str, Any]


def refused_by_python(path: Path) -> bool:
    try:
        with Pack.open(path, now=0) as pack:
            if pack.header.canonicaliser == ENTITY_ANSWERS:
                EntityPredictions.open(path, pack.header.model)
    except PackError:
        return True
    return False


def header_of(raw: bytes) -> Header:
    (length,) = struct.unpack_from("<I", raw, 12)
    return dict(json.loads(raw[20 : 20 + length]))


def with_header(raw: bytes, text: bytes) -> bytes:
    """``raw`` with another header, and a checksum that fits it."""
    (length,) = struct.unpack_from("<I", raw, 12)
    head = raw[:12] + struct.pack("<II", len(text), zlib.crc32(text)) + text
    return head + bytes(aligned(len(head)) - len(head)) + raw[aligned(20 + length) :]


def edited(change: Callable[[Header], object]) -> Callable[[bytes], bytes]:
    def edit(raw: bytes) -> bytes:
        header = header_of(raw)
        change(header)
        return with_header(raw, json.dumps(header).encode())

    return edit


def field(**changes: Any) -> Callable[[bytes], bytes]:
    return edited(lambda header: header["fields"][0].update(changes))


def entities(**changes: Any) -> Callable[[bytes], bytes]:
    return edited(lambda header: header["entities"].update(changes))


def text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(raw: bytes) -> bytes:
        (length,) = struct.unpack_from("<I", raw, 12)
        assert old in raw[20 : 20 + length]
        return with_header(raw, raw[20 : 20 + length].replace(old, new, 1))

    return edit


REFUSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "nothing at all": ("dtypes", lambda raw: b""),
    "another magic": ("dtypes", lambda raw: b"EDGEPACX" + raw[8:]),
    "another format": ("dtypes", lambda raw: raw[:8] + struct.pack("<I", 6) + raw[12:]),
    "a header with another checksum": ("dtypes", lambda raw: raw[:30] + b"~" + raw[31:]),
    "a header that is longer than the file": (
        "dtypes", lambda raw: raw[:12] + struct.pack("<I", 1 << 19) + raw[16:]
    ),
    "a header that is longer than any": (
        "dtypes", lambda raw: raw[:12] + struct.pack("<I", 0xFFFFFFF0) + raw[16:]
    ),
    "a file that is cut": ("dtypes", lambda raw: raw[:-64]),
    "a file with more": ("dtypes", lambda raw: raw + bytes(64)),
    "one entry more": ("dtypes", edited(lambda h: h.update(count=h["count"] + 9))),
    "so many entries that their bytes wrap around": (
        "dtypes", edited(lambda h: h.update(count=2**60))
    ),
    "a negative count": ("dtypes", edited(lambda h: h.update(count=-1))),
    "a count that is no integer": ("dtypes", edited(lambda h: h.update(count="4"))),
    "a directory of 25 bits": ("dtypes", edited(lambda h: h.update(directory_bits=25))),
    "a directory of less than no bits": ("dtypes", edited(lambda h: h.update(directory_bits=-1))),
    "a filter of 30 bits": ("dtypes", edited(lambda h: h.update(filter_bits=30))),
    "more checks than buckets": ("encodings", edited(lambda h: h.update(check_bits=20))),
    "a digest that is none": ("dtypes", edited(lambda h: h.update(manifest="abc"))),
    "no fields": ("dtypes", edited(lambda h: h.update(fields=[]))),
    "fields that are no objects": ("dtypes", edited(lambda h: h.update(fields=[1]))),
    "two fields of one name": (
        "dtypes", edited(lambda h: h["fields"][1].update(name=h["fields"][0]["name"]))
    ),
    "a field without a name": ("dtypes", edited(lambda h: h["fields"][0].pop("name"))),
    "a dtype that is none": ("dtypes", field(dtype="float8")),
    "a dtype of texts": ("dtypes", field(dtype="string")),
    "a size of nothing": ("dtypes", field(shape=[0])),
    "a negative size": ("dtypes", field(shape=[-1])),
    "a shape whose product wraps around": ("dtypes", field(shape=[2**32, 2**32])),
    "a shape that is none": ("dtypes", field(shape=["a"])),
    "an encoding that is none": ("dtypes", field(encoding="int8", dtype="float32")),
    "an encoding of integers": ("dtypes", field(dtype="int16", encoding="float16")),
    "codes without a scale": ("encodings", edited(lambda h: h["fields"][2].pop("scale"))),
    "a scale without codes": ("encodings", field(scale=1.0)),
    "a scale that is not finite": ("encodings", text(b'"scale":', b'"scale":1e999,"x":')),
    "a negative error": ("dtypes", field(max_error=-1.0)),
    "a default of an answer": ("dtypes", edited(lambda h: h.update(defaults={"bool": True}))),
    "a column without a default": ("features", edited(lambda h: h["defaults"].pop("age"))),
    "categories of no column": ("features", edited(lambda h: h.update(categories={"x": []}))),
    "a column of several values": (
        "features",
        edited(lambda h: next(f for f in h["fields"] if f["name"] == "age").update(shape=[1])),
    ),
    "categories of numbers": ("features", edited(lambda h: h["categories"].update(age=["a"]))),
    "categories that are no texts": (
        "features", edited(lambda h: h.update(categories={"city": [1]}))
    ),
    "answers by entity that do not say what they are": (
        "labels", edited(lambda h: h.pop("entities"))
    ),
    "what answers by entity are, of a pack of others": (
        "dtypes",
        edited(lambda h: h.update(entities={"job": "a", "generation": 1, "computed_at": 1})),
    ),
    "fewer classes than probabilities": ("probabilities", entities(classes=["a"])),
    "labels without classes": ("labels", entities(classes=[])),
    "classes that are none": ("labels", entities(classes=[[]])),
    "a moment before 1970": ("labels", entities(computed_at=-1.0)),
    "lists without items": ("numbers", entities(top=2)),
    "a header that is no object": ("dtypes", lambda raw: with_header(raw, b"[1]")),
    "a header that is no JSON": ("dtypes", text(b'"count":', b'"count" ')),
    "a header with more behind it": (
        "dtypes", lambda raw: with_header(raw, json.dumps(header_of(raw)).encode() + b"1")
    ),
    "a header that is not UTF-8": ("dtypes", text(b'"answered_by":"', b'"answered_by":"\xff')),
    "a text with a NUL": ("dtypes", text(b'"answered_by":"', b'"answered_by":"\\u0000')),
    "half a character": ("dtypes", text(b'"answered_by":"', b'"answered_by":"\\ud800')),
    "a control character in a text": ("dtypes", text(b'"answered_by":"', b'"answered_by":"\n')),
    "a number that JSON has not": ("dtypes", text(b'"max_error":0.0', b'"max_error":NaN')),
    "nesting without an end": (
        "dtypes", text(b'"answered_by":', b'"x":' + b"[" * 100_000 + b',"answered_by":')
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_cannot_be_right_is_refused_in_words(
    reader: PackReader, tmp_path: Path, what: str
) -> None:
    name, change = REFUSED[what]
    path = tmp_path / "pack"
    path.write_bytes(change((FROZEN / f"{name}.pack").read_bytes()))
    assert refused_by_python(path)
    error = reader.describe(path)["error"]
    assert 10 < len(error) < 250


def test_the_longest_header_is_read(reader: PackReader, tmp_path: Path) -> None:
    raw, path = (FROZEN / "dtypes.pack").read_bytes(), tmp_path / "pack"
    text = json.dumps(header_of(raw)).encode()
    path.write_bytes(with_header(raw, text.ljust(PACK_HEADER_BYTES)))
    with Pack.open(path, now=0) as pack:
        assert same(reader.describe(path), json.loads(json.dumps(plain_header(pack))))
    path.write_bytes(with_header(raw, text.ljust(PACK_HEADER_BYTES + 1)))
    assert refused_by_python(path)
    assert "error" in reader.describe(path)


@pytest.mark.parametrize("name", PACKS)
def test_a_file_that_was_cut_anywhere_is_refused(
    reader: PackReader, tmp_path: Path, name: str
) -> None:
    raw = (FROZEN / f"{name}.pack").read_bytes()
    path = tmp_path / "pack"
    for length in range(0, len(raw), 37):
        path.write_bytes(raw[:length])
        assert "error" in reader.describe(path), length


PIECES: Final = [
    *(0, 1, -1, 24, 25, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 0.5, 1e308, None, True, False),
    *("", "x", "float16", "uint8", "int64", "label", "probabilities", "items", "entity-v1"),
    *([], [1], ["a"], {}, {"a": 1}, "entity-answers-v1", "columns-v1", "dense-float32-v1"),
]


def places(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in parsed JSON."""
    inside = plain.items() if isinstance(plain, dict) else enumerate(plain)
    found = []
    for key, value in inside:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


ACCEPTED_ELSEWHERE: Final = {"model", "version", "job", "role", "expires", "generation"}
"""Members whose form C and JavaScript do not check: none of them leads to a byte."""


@settings(suppress_health_check=list(HealthCheck))
@given(st.data())
def test_of_a_header_that_was_tampered_with_all_say_the_same(
    reader: PackReader, tmp_path: Path, data: st.DataObject
) -> None:
    raw = (FROZEN / f"{data.draw(st.sampled_from(list(PACKS)))}.pack").read_bytes()
    header = header_of(raw)
    *above, last = data.draw(st.sampled_from(places(header)))
    place: Any = header
    for key in above:
        place = place[key]
    place[last] = data.draw(st.sampled_from(PIECES))
    path = tmp_path / "pack"
    path.write_bytes(with_header(raw, json.dumps(header).encode()))
    said = reader.describe(path)
    if refused_by_python(path):
        # A null stands for what is missing; Python takes it only where that may be.
        lenient = last in ACCEPTED_ELSEWHERE or place[last] is None
        assert "error" in said or lenient, (above, last, place[last])
        return
    if "index of a class" in said.get("error", ""):
        return  # a label that is no single integer: Python finds out when it reads one
    assert "error" not in said, (said, above, last, place[last])
    with Pack.open(path, now=0) as pack:
        assert same(said, json.loads(json.dumps(plain_header(pack))))
        keys = [*map(bytes, pack.keys())]
        assert reader.look_up(path, b"".join(keys)) == looked_up(pack, keys)


def test_a_damaged_block_answers_nothing_and_the_others_do(
    reader: PackReader, tmp_path: Path
) -> None:
    raw = bytearray((FROZEN / "features.pack").read_bytes())
    raw[-65] ^= 1  # in the last value, before the padding; one block holds all
    path = tmp_path / "pack"
    path.write_bytes(raw)
    with Pack.open(path, now=0) as pack:
        keys = [*map(bytes, pack.keys())]
        assert reader.look_up(path, b"".join(keys)) == looked_up(pack, keys)
        assert pack.damage is not None
    assert "damaged" in reader.verify(path)
    if reader.language == "c":
        assert reader.features(path, NAMES[:1])[0]["age"] == "damaged"
    else:
        assert "damaged" in reader.features(path, NAMES[:1])[0]["error"]


def test_a_category_that_the_header_does_not_have_is_no_feature(
    reader: PackReader, tmp_path: Path
) -> None:
    raw, path = (FROZEN / "features.pack").read_bytes(), tmp_path / "pack"
    path.write_bytes(edited(lambda h: h["categories"].update(city=[]))(raw))
    entity = NAMES[0]
    with pytest.raises(PackError, match="city: category . is not in the header"):
        python_features(path, [entity])
    (answer,) = reader.features(path, [entity])
    if reader.language == "c":
        assert answer["city"] == "damaged"
    else:
        assert "city: category" in answer["error"]


def test_a_bit_that_the_filter_lost_gives_no_defaults_in_place_of_features(
    reader: PackReader, tmp_path: Path
) -> None:
    raw = (FROZEN / "features.pack").read_bytes()
    with Pack.open(FROZEN / "features.pack", now=0) as pack:
        _, begin, _ = pack.filter
        bits = pack.header.filter_bits
    path = tmp_path / "pack"
    path.write_bytes(raw[:begin] + bytes(1 << bits) + raw[begin + (1 << bits) :])
    assert [row["entry"] >= 0 for row in reader.features(path, NAMES)] == [True] * len(NAMES)


@pytest.mark.c
def test_five_thousand_mutants_lead_c_nowhere(tmp_path: Path) -> None:
    done = fuzzed([compiled("fuzz", tmp_path)], 5_000)
    assert done.returncode == 0, done.stderr
    # Most are refused at their header; those that open are what the fuzzer is for.
    opened = int(done.stdout.split(", ")[1].split()[0])
    assert opened > 500


@pytest.mark.node
def test_five_thousand_mutants_raise_nothing_foreign_in_javascript() -> None:
    done = fuzzed([node(), str(PROGRAMS / "fuzz.mjs")], 5_000)
    assert done.returncode == 0, done.stderr


def fuzzed(command: list[str], count: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, str(count), "1", *PACK_FILES],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip


REMOVED: Final = {
    "an entry of a category": "(uint64_t)value.as.integer >= texts->count",
    "an entry behind the last": "end <= (size_t)pack->count",
}
"""Checks of the reader in C without which bytes outside of the file would be read."""


@pytest.mark.c
@pytest.mark.parametrize("what", REMOVED)
def test_without_one_of_its_checks_the_mutants_would_lead_c_astray(
    what: str, tmp_path: Path
) -> None:
    source, check = (C / "edge_pack.c").read_text(), REMOVED[what]
    assert source.count(check) == 1
    weaker = source.replace(check, "0" if ">=" in check else "1")
    for path in C.glob("edge_*.[ch]"):
        shutil.copy(path, tmp_path)
    (tmp_path / "edge_pack.c").write_text(weaker)
    done = fuzzed([compiled("fuzz", tmp_path, reader=tmp_path)], 20_000)
    assert "AddressSanitizer" in done.stderr or "runtime error" in done.stderr
