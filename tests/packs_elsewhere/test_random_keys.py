"""Ten thousand random keys and rows; ``make packs-elsewhere`` takes a million."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release
from tests.edge.packs.builders import random_keys, value_release, write
from tests.packs_elsewhere.comparing import looked_up
from tests.packs_elsewhere.random_keys import (
    COLUMNS,
    dense,
    differences,
    key_differences,
    random_rows,
    row_differences,
)
from tests.packs_elsewhere.readers import PackReader


def test_ten_thousand_random_keys_are_looked_up_alike(reader: PackReader, tmp_path: Path) -> None:
    assert key_differences(reader, tmp_path, 10_000, seed=1) == 0


def test_ten_thousand_random_rows_have_the_same_keys(reader: PackReader) -> None:
    assert row_differences(reader, 10_000, seed=1) == 0


def test_the_rows_are_of_every_kind() -> None:
    for dtype, rows in random_rows(1_000, seed=1):
        keys = [dense(dtype).feed_key({"x": row[None]}) for row in rows]
        assert rows.shape[1] == COLUMNS
        if rows.dtype.kind == "f":
            assert 0 < keys.count(None) < 100
            assert (np.signbit(rows) & (rows == 0)).any()
        else:
            assert None not in keys


def test_a_difference_would_be_counted(tmp_path: Path) -> None:
    release = value_release(make_release(tmp_path))
    keys, values = random_keys(20), np.arange(20, dtype=np.float32)[:, None]
    write(tmp_path / "pack", release, keys, y=values)
    with Pack.open(tmp_path / "pack") as pack:
        said = looked_up(pack, [key.tobytes() for key in keys])
        wrong = said[:-1] + bytes([said[-1] ^ 1])
        assert (differences(said, keys, pack), differences(wrong, keys, pack)) == (0, 1)
