"""Of any pack C and JavaScript read what Python reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_features import write_entity_features
from edge_sdk.packs.entity_predictions import EntityPredictions
from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release
from tests.edge.packs.builders import random_keys
from tests.edge.packs.freeze import with_signature
from tests.edge.packs.reading import features, predictions
from tests.packs_elsewhere.comparing import looked_up, plain_header, same
from tests.packs_elsewhere.drawing import (
    DTYPES,
    NAMES,
    TEXTS,
    drawn_array,
    drawn_pack,
    drawn_predictions,
)
from tests.packs_elsewhere.readers import PackReader
from tests.packs_elsewhere.test_frozen import assert_answers, packed

ANY = settings(suppress_health_check=list(HealthCheck))
"""A folder of the test may hold the files of all examples, each over the one before."""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


@ANY
@given(st.data())
def test_keys_are_found_and_values_read_alike(
    reader: PackReader, release: Release, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "pack"
    stored = data.draw(drawn_pack(path, release))
    near = stored.copy()
    near[:, 15] ^= 1  # the same checksum, another digest
    keys = [bytes(key) for key in (*stored, *near, *random_keys(20))]
    with Pack.open(path, now=0) as pack:
        assert same(reader.describe(path), plain_header(pack))
        assert reader.look_up(path, b"".join(keys)) == looked_up(pack, keys)
    assert reader.verify(path) == "sound"


@ANY
@given(st.data())
def test_entities_have_the_same_answers(
    reader: PackReader, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "pack"
    names = data.draw(drawn_predictions(path))
    opened = EntityPredictions.open(path, "demo")
    assert same(reader.describe(path), json.loads(json.dumps(plain_header(opened.pack))))
    now = data.draw(st.floats(0, 3e9))
    wanted = [*names, *data.draw(st.lists(NAMES, max_size=3))]
    expected = [predictions(opened, [name], now)[name] for name in wanted]
    for answer, entity in zip(reader.predictions(path, "demo", wanted, now), expected, strict=True):
        assert_answers(answer, entity)


@ANY
@given(st.data())
def test_entities_have_the_same_features(
    reader: PackReader, release: Release, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "pack"
    names = data.draw(st.lists(NAMES, max_size=5, unique=True))
    columns, given_, defaults = [], {}, {}
    for column in data.draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        if column in ("entry", "@age"):
            continue  # what the programs write beside the columns
        dtype = data.draw(st.sampled_from([*DTYPES, "string"]))
        columns.append(Column(column, dtype, column))  # type: ignore[arg-type]
        rows = len(names) + 1
        if dtype == "string":
            array: Any = data.draw(st.lists(TEXTS, min_size=rows, max_size=rows))
        else:
            array = data.draw(drawn_array(dtype, (rows,)))
        given_[column], defaults[column] = array[1:], array[0]
    inputs = tuple(TensorSpec(c.name, c.dtype, (None, 1)) for c in columns)
    signature = Signature(inputs, (OutputSpec("y", "float32", (None,)),), tuple(columns))
    made = with_signature(release, signature)
    write_entity_features(path, made, names, given_, defaults=defaults)
    wanted = [*names, *data.draw(st.lists(NAMES, max_size=3))]
    expected = features(path, wanted)
    for name, answer in zip(wanted, reader.features(path, wanted), strict=True):
        answer.pop("@age", None)
        assert (answer.pop("entry") >= 0) is expected[name]["stored"]
        assert same(answer, json.loads(json.dumps(expected[name]["row"])))


@ANY
@given(st.data())
def test_rows_of_mixed_columns_have_the_same_keys(reader: PackReader, data: st.DataObject) -> None:
    dtypes = data.draw(st.lists(st.sampled_from([*DTYPES, "string"]), min_size=2, max_size=6))
    dtypes.append("string")  # so that no row is of one tensor
    names = [f"c{i}" for i in range(len(dtypes))]
    inputs = tuple(
        TensorSpec(n, d, (None, 1)) for n, d in zip(names, dtypes, strict=True)  # type: ignore[arg-type]
    )  # fmt: skip
    columns = tuple(Column(spec.name, spec.dtype, spec.name) for spec in inputs)
    outputs = (OutputSpec("y", "float32", (None,)),)
    canonicaliser = Canonicaliser(Signature(inputs, outputs, columns))
    raw, expected = b"", []
    for _ in range(5):
        row = [data.draw(drawn_value(dtype)) for dtype in dtypes]
        raw += b"".join(map(packed, dtypes, row))
        tensors = {
            n: np.array([[v]], object if d == "string" else d)
            for n, d, v in zip(names, dtypes, row, strict=True)
        }
        expected.append(canonicaliser.feed_key(tensors))
    assert reader.rows("columns-v1", dtypes, raw) == expected


def drawn_value(dtype: str) -> st.SearchStrategy[Any]:
    """A value of a column; of floats also NaN, infinities and -0.0."""
    if dtype == "string":
        return st.text(st.characters(codec="utf-8"), max_size=70)
    size = np.dtype(dtype).itemsize
    bits = st.binary(min_size=size, max_size=size)
    if dtype == "bool":
        return st.booleans()
    special = [0.0, -0.0, float("nan"), float("inf")] if dtype.startswith("float") else [0]
    return st.one_of(
        bits.map(lambda raw: np.frombuffer(raw, dtype)[0]),
        st.sampled_from(special).map(lambda value: np.array(value, dtype)[()]),
    )
