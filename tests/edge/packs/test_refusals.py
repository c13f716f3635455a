"""Every way in which a file is not the pack that it should be, as one table."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.contract.pack import PREFIX, PackHeader, parse_header, sections
from edge_sdk.contract.version import PACK_FORMAT
from edge_sdk.errors import PackError
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import Pack
from tests.edge.builders import CLASSES, make_release
from tests.edge.packs.builders import random_keys, write

NOW = 1_800_000_000
COUNT = 1_000


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def whole(release: Release, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("pack") / "p"
    values = np.random.default_rng(0).random((COUNT, CLASSES), dtype=np.float32)
    write(path, release, random_keys(COUNT), probabilities=values, expires=NOW + 100)
    return path.read_bytes()


def with_header(raw: bytes, **changes: object) -> bytes:
    header, directory = parse_header(raw)
    return replace(header, **changes).to_bytes() + raw[directory:]  # type: ignore[arg-type]


def header_text(raw: bytes) -> bytes:
    return raw[PREFIX.size : PREFIX.size + PREFIX.unpack_from(raw)[2]]


def with_text(raw: bytes, text: bytes) -> bytes:
    """Another text of the header with its true CRC-32."""
    _, directory = parse_header(raw)
    head = PREFIX.pack(b"EDGEPACK", PACK_FORMAT, len(text), zlib.crc32(text)) + text
    return head + bytes(-len(head) % 64) + raw[directory:]


def with_body(raw: bytes, edit: Callable[[bytearray, PackHeader], None]) -> bytes:
    """Another body with its true SHA-256: what a wrong writer makes, not what damage makes."""
    header, directory = parse_header(raw)
    changed = bytearray(raw)
    edit(changed, header)
    body = bytes(changed[directory:])
    return with_header(raw[:directory] + body, body=hashlib.sha256(body).hexdigest())


def falling_directory(raw: bytearray, header: PackHeader) -> None:
    _, directory = parse_header(bytes(raw))
    raw[directory + 8 : directory + 12] = (0).to_bytes(4, "little")


def swapped_keys(raw: bytearray, header: PackHeader) -> None:
    keys = sections(header, parse_header(bytes(raw))[1]).keys
    raw[keys + 160 : keys + 192] = raw[keys + 176 : keys + 192] + raw[keys + 160 : keys + 176]


def equal_keys(raw: bytearray, header: PackHeader) -> None:
    keys = sections(header, parse_header(bytes(raw))[1]).keys
    raw[keys + 160 : keys + 176] = raw[keys + 176 : keys + 192]


def directory_beside_the_keys(raw: bytearray, header: PackHeader) -> None:
    _, directory = parse_header(bytes(raw))
    at = directory + 4 * (1 << header.directory_bits)
    raw[at : at + 4] = (header.count + 5).to_bytes(4, "little")


def filter_beside_the_keys(raw: bytearray, header: PackHeader) -> None:
    raw[sections(header, parse_header(bytes(raw))[1]).filter] ^= 1


def checks_beside_the_blocks(raw: bytearray, header: PackHeader) -> None:
    raw[sections(header, parse_header(bytes(raw))[1]).checks] ^= 1


OPENED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an empty file": (lambda raw: b"", "cannot open"),
    "no pack at all": (lambda raw: b"x" * 5_000, "not a pack file"),
    "an unknown format": (
        lambda raw: PREFIX.pack(b"EDGEPACK", 99, 10, 0) + raw[20:],
        f"expected format {PACK_FORMAT}, got 99",
    ),
    "a header longer than the file": (
        lambda raw: PREFIX.pack(b"EDGEPACK", PACK_FORMAT, 1 << 19, 0) + raw[20:],
        "truncated or too large",
    ),
    "a header that is not JSON": (
        lambda raw: with_text(raw, b"!" + header_text(raw)[1:]), "expected UTF-8 JSON",
    ),
    "a header with one other letter": (
        lambda raw: raw.replace(b'"answered_by":"test 1.0"', b'"answered_by":"test 1.1"', 1),
        r"header is damaged \(CRC-32 differs\)",
    ),
    "another release": (lambda raw: with_header(raw, manifest="0" * 64), "made for release demo"),
    "another canonicaliser": (
        lambda raw: with_header(raw, canonicaliser="columns-v1"),
        "keys of columns-v1, expected dense-float32-v1",
    ),
    "expired": (lambda raw: with_header(raw, expires=NOW), "expired at"),
    "bytes after the end": (lambda raw: raw + bytes(64), "it is truncated"),
    "another count": (lambda raw: with_header(raw, count=COUNT + 64), "it is truncated"),
    "no field": (
        lambda raw: with_text(raw, header_text(raw).replace(b":[{", b':[],"":[{', 1)),
        "torn|expected",
    ),
}  # fmt: skip

VERIFIED: dict[str, tuple[Callable[[bytearray, PackHeader], None], str]] = {
    "a directory that falls": (falling_directory, "directory is not monotonic: bucket 1"),
    "keys in another order": (swapped_keys, "keys are not sorted: entry 11 does not follow"),
    "one key twice": (equal_keys, "keys are not sorted: entry 11 does not follow"),
    "a directory that does not fit": (directory_beside_the_keys, "directory does not fit the keys"),
    "checks that do not fit": (checks_beside_the_blocks, "checks do not fit: wrong at block 0"),
    "a filter that does not fit": (filter_beside_the_keys, "filter does not fit the keys"),
}


@pytest.mark.parametrize("case", OPENED)
def test_what_is_not_this_releases_pack_does_not_open(
    release: Release, whole: bytes, tmp_path: Path, case: str
) -> None:
    change, message = OPENED[case]
    (tmp_path / "p").write_bytes(change(whole))
    with pytest.raises(PackError, match=message):
        Pack.open(tmp_path / "p", release, now=NOW)


@pytest.mark.parametrize("case", VERIFIED)
def test_what_a_wrong_writer_made_is_found_by_verify(
    release: Release, whole: bytes, tmp_path: Path, case: str
) -> None:
    edit, message = VERIFIED[case]
    (tmp_path / "p").write_bytes(with_body(whole, edit))
    with Pack.open(tmp_path / "p", release, now=NOW) as pack, pytest.raises(PackError) as refused:
        pack.verify()
    assert message in str(refused.value)


@pytest.mark.parametrize("boundary", ["prefix", "header", "directory", "keys", "values", "end"])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_pack_torn_at_a_boundary_does_not_open(
    release: Release, whole: bytes, tmp_path: Path, boundary: str, beside: int
) -> None:
    header, directory = parse_header(whole)
    place = sections(header, directory)
    ends = {
        "prefix": PREFIX.size, "header": PREFIX.size + PREFIX.unpack_from(whole)[2],
        "directory": directory, "keys": place.keys, "values": place.values, "end": place.end - 2,
    }  # fmt: skip
    (tmp_path / "p").write_bytes(whole[: ends[boundary] + beside])
    with pytest.raises(PackError):
        Pack.open(tmp_path / "p", release, now=NOW)


def test_a_closed_pack_answers_nothing(release: Release, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(whole)
    pack = Pack.open(tmp_path / "p", release, now=NOW)
    key = pack.keys()[0].tobytes()
    kept = pack.get(key)
    pack.close()
    pack.close()
    with pytest.raises(ValueError, match="released"):
        pack.get(key)
    assert kept is not None
    assert np.isfinite(kept["probabilities"]).all()
