"""Frozen bytes of every message: yesterday's peers still understand today's.

``golden/refused`` has those of formats that are read no more, which are refused by their number.

``python -m tests.contract.freeze NAME`` writes a new one; an existing one is never rewritten.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import UPLOAD_BYTES
from edge_sdk.contract.manifest import Manifest
from edge_sdk.contract.messages import WindowReport
from tests.contract.examples import EXAMPLES

GOLDEN = Path(__file__).parent / "golden"


def test_every_example_has_a_frozen_file_and_every_file_an_example() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_frozen_message_still_means_what_it_meant(name: str) -> None:
    raw = (GOLDEN / f"{name}.json").read_bytes()
    assert decode(type(EXAMPLES[name]), raw, limit=UPLOAD_BYTES) == EXAMPLES[name]


OLDER = {"manifest": Manifest, "window": WindowReport}


@pytest.mark.parametrize("path", sorted((GOLDEN / "refused").glob("*.json")), ids=lambda p: p.stem)
def test_a_file_or_message_of_an_older_format_is_refused_by_its_number(path: Path) -> None:
    kind: type[Any] = OLDER[path.stem.partition("_")[0]]
    with pytest.raises(ContractError, match=r"format: expected one of \[2\], got 1"):
        decode(kind, path.read_bytes(), limit=UPLOAD_BYTES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_still_encodes_to_what_was_frozen_but_for_fields_that_came_since(
    name: str,
) -> None:
    frozen = json.loads((GOLDEN / f"{name}.json").read_bytes())
    assert_says(frozen, json.loads(encode(EXAMPLES[name])), name)


def assert_says(frozen: Any, now: Any, path: str) -> None:
    """Every field of ``frozen`` is in ``now`` with the same value."""
    if isinstance(frozen, dict):
        for field, value in frozen.items():
            assert field in now, f"{path}.{field}"
            assert_says(value, now[field], f"{path}.{field}")
    elif isinstance(frozen, list):
        assert len(frozen) == len(now), path
        for i, pair in enumerate(zip(frozen, now, strict=True)):
            assert_says(*pair, f"{path}[{i}]")
    else:
        assert (type(frozen), frozen) == (type(now), now), path


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_message_from_a_newer_peer_with_unknown_fields_is_read(name: str) -> None:
    raw = encode(EXAMPLES[name])
    newer = b'{"from_the_future":{"x":[1,null]},' + raw[1:]
    assert decode(type(EXAMPLES[name]), newer, limit=UPLOAD_BYTES) == EXAMPLES[name]
