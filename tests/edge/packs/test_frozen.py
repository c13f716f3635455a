"""The frozen packs still mean what they meant; ``tests/packs_elsewhere`` asks C and JavaScript."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge_sdk.packs.reader import Pack
from tests.edge.packs.freeze import FROZEN, PACKS, expected, keys


def test_every_frozen_pack_has_a_maker_and_every_maker_a_pack() -> None:
    assert {path.stem for path in FROZEN.glob("*.pack")} == set(PACKS)


@pytest.mark.parametrize("name", PACKS)
def test_a_frozen_pack_is_sound_and_is_read_as_it_was(name: str) -> None:
    path = FROZEN / f"{name}.pack"
    with Pack.open(path, now=0) as pack:
        pack.verify()
    frozen = json.loads(path.with_suffix(".json").read_text())
    assert_same(json.loads(json.dumps(expected(path))), frozen, name)


def test_frozen_rows_and_names_have_the_keys_that_they_had() -> None:
    frozen = json.loads((FROZEN / "keys.json").read_text())
    assert_same(json.loads(json.dumps(keys())), frozen, "keys")


def assert_same(ours: Any, theirs: Any, path: str) -> None:
    """Compare plain values to the last bit; NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for name in theirs:
            assert_same(ours[name], theirs[name], f"{path}.{name}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f"{path}[{i}]")
    elif isinstance(theirs, float):
        assert np.float64(ours).tobytes() == np.float64(theirs).tobytes(), path
    else:
        assert ours == theirs, path
