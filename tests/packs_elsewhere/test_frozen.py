"""C and JavaScript read the frozen packs as Python does."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from edge_sdk.packs.reader import Pack
from tests.edge.packs.freeze import EXPIRES, FROZEN, PACKS
from tests.packs_elsewhere.comparing import looked_up, plain_header, same
from tests.packs_elsewhere.readers import PackReader


def frozen(name: str) -> Any:
    return json.loads((FROZEN / f"{name}.json").read_text())


def with_part(part: str) -> list[str]:
    return [name for name in PACKS if part in frozen(name)]


@pytest.mark.parametrize("name", PACKS)
def test_a_frozen_header_is_read_and_the_file_is_sound(reader: PackReader, name: str) -> None:
    path = FROZEN / f"{name}.pack"
    with Pack.open(path, now=0) as pack:
        assert same(reader.describe(path), plain_header(pack))
    assert reader.verify(path) == "sound"


@pytest.mark.parametrize("name", PACKS)
def test_frozen_keys_give_the_frozen_values(reader: PackReader, name: str) -> None:
    path, expected = FROZEN / f"{name}.pack", frozen(name)["keys"]
    keys = [bytes.fromhex(key) for key in expected]
    with Pack.open(path, now=0) as pack:
        assert reader.look_up(path, b"".join(keys)) == looked_up(pack, keys)


@pytest.mark.parametrize("name", with_part("predictions"))
def test_frozen_entities_have_the_frozen_answers(reader: PackReader, name: str) -> None:
    path = FROZEN / f"{name}.pack"
    for now, expected in frozen(name)["predictions"].items():
        given = reader.predictions(path, "demo", list(expected), float(now))
        for entity, answer in zip(expected.values(), given, strict=True):
            assert_answers(answer, entity)


def assert_answers(answer: dict[str, Any], expected: dict[str, Any] | None) -> None:
    stored = answer.pop("entry") >= 0
    if expected is None:
        nothing = {"label": None, "labels": None, "value": None, "items": [], "scores": []}
        assert answer.items() >= nothing.items()
        assert not stored
        return
    assert same({"stored": stored, **answer}, expected)


@pytest.mark.parametrize("name", with_part("features"))
def test_frozen_entities_have_the_frozen_features(reader: PackReader, name: str) -> None:
    path, expected = FROZEN / f"{name}.pack", frozen(name)["features"]
    given = reader.features(path, list(expected))
    for answer, entity in zip(given, expected.values(), strict=True):
        assert (answer.pop("entry") >= 0) is entity["stored"]
        age = answer.pop("@age", None)
        row, computed_at = dict(entity["row"]), entity["row"]["@computed_at"]
        if reader.language == "js":  # which takes the moments out of the row
            del row["@computed_at"], row["@stale_at"]
            assert age == (None if computed_at is None else -computed_at)
        assert same(answer, row)


def test_frozen_rows_have_the_frozen_keys(reader: PackReader) -> None:
    for row in frozen("keys"):
        raw = b"".join(map(packed, row["dtypes"], row["row"]))
        key = None if row["key"] is None else bytes.fromhex(row["key"])
        assert reader.rows(row["canonicaliser"], row["dtypes"], raw) == [key], row


def packed(dtype: str, value: Any) -> bytes:
    if dtype == "string":
        return struct.pack("<I", len(value.encode())) + value.encode()
    return np.array(value, dtype).astype(np.dtype(dtype).newbyteorder("<")).tobytes()


def test_what_is_made_for_something_else_or_has_expired_is_refused(reader: PackReader) -> None:
    path = FROZEN / "encodings.pack"
    with Pack.open(path, now=0) as pack:
        header = pack.header
    fits = (header.manifest, header.canonicaliser)
    assert reader.describe(path, EXPIRES - 1, *fits)["model"] == "demo"
    for arguments, message in (
        ((EXPIRES, *fits), f"expired at {EXPIRES}"),
        ((0, "0" * 64, fits[1]), f"({header.manifest[:12]}…), expected 000000000000…"),
        ((0, fits[0], "columns-v1"), "keys of dense-float32-v1, expected columns-v1"),
    ):
        assert message in reader.describe(path, *arguments)["error"]
