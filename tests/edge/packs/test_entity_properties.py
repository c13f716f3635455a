"""Packs of answers by entity, whatever is in them: each name gets its own answer, and a file that
lies with true checksums is refused or answers nothing.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.pack import (
    ALIGNMENT,
    MAGIC,
    PREFIX,
    PackHeader,
    ValueField,
    parse_header,
    sections,
)
from edge_sdk.contract.serving_terms import Reporting, Sharing
from edge_sdk.contract.version import PACK_FORMAT
from edge_sdk.errors import ContractError, PackError
from edge_sdk.model.inputs import inputs_for
from edge_sdk.model.prediction import Prediction
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.packs.delta import apply_delta, write_delta
from edge_sdk.packs.entity_predictions import (
    EntityPredictions,
    EntityValues,
    entity_keys,
    joined_items,
)
from edge_sdk.packs.layout import block_crc, checks_of, directory_of, sizes, sorted_order
from edge_sdk.serving.entity_answers import EntityAnswerer
from edge_sdk.telemetry.monitor import Monitor
from edge_sdk.telemetry.reports import Scope
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.edge.packs.entity_answers import ABOUT, AT, written

NAMES: Final = [f"user-{i}" for i in range(40)]
LIST: Final = {"classes": (), "top": 3}
# Surrogates have no UTF-8; NUL cannot stand in the name of an item.
TEXT: Final = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
ITEM: Final = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6
)
ENTITIES: Final = st.lists(TEXT, min_size=1, max_size=60, unique=True)


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Monitor:
    release = make_release(tmp_path_factory.mktemp("release"))
    inputs = inputs_for(InputSchema(release.manifest.signature), Model.load(release))
    scope = Scope("t", None, "control")
    return Monitor(release, inputs, scope, Reporting(), Sharing(), clock=Clock(AT))


def opened(path: Path, monitor: Monitor) -> EntityAnswerer:
    return EntityAnswerer(EntityPredictions.open(path, "demo"), monitor, "t", Clock(AT))


def ranked(lists: list[list[str]]) -> dict[str, EntityValues]:
    """Return ranked lists of up to three items; an item's score is where it stands."""
    filled = [[*items, "", "", ""][:3] for items in lists]
    scores = np.array([[0.0, 1.0, 2.0]] * len(lists), np.float32)
    items = joined_items(np.array(filled, object))
    return {"items": EntityValues("other", items), "scores": EntityValues("other", scores)}


@given(ENTITIES, st.lists(TEXT, max_size=60))
def test_each_name_has_its_own_answer_and_others_none(
    monitor: Monitor, names: list[str], others: list[str]
) -> None:
    numbers = np.arange(len(names), dtype=np.float64)
    with TemporaryDirectory() as folder:
        values = {"prediction": EntityValues("value", numbers)}
        path = written(Path(folder) / "p", names, values, classes=())
        answers = opened(path, monitor)
        answers.pack.pack.verify()
        for i, name in enumerate(names):
            found = answers.stored(name)
            assert found is not None
            assert found.value == i
        assert all(answers.stored(name) is None for name in {*others} - {*names})


@given(st.lists(st.lists(ITEM, max_size=3, unique=True), min_size=1, max_size=30))
def test_each_list_comes_back_in_its_order(monitor: Monitor, lists: list[list[str]]) -> None:
    names = [f"user-{i}" for i in range(len(lists))]
    with TemporaryDirectory() as folder:
        answers = opened(written(Path(folder) / "p", names, ranked(lists), **LIST), monitor)
        for name, items in zip(names, lists, strict=True):
            found = answers.stored(name)
            assert found is not None
            assert found.ranked == (tuple(items), (0.0, 1.0, 2.0)[: len(items)])


@given(st.dictionaries(TEXT, st.integers(0, 3), max_size=40), st.data())
def test_a_delta_makes_the_next_generation_to_the_byte(
    before: dict[str, int], data: st.DataObject
) -> None:
    after = {name: n for name, n in before.items() if data.draw(st.integers(0, 9)) > 0}
    after |= data.draw(st.dictionaries(TEXT, st.integers(0, 3), max_size=10))
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        old, new = _generation(folder / "old", before), _generation(folder / "new", after)
        if write_delta(old, new, folder / "delta") is not None:
            apply_delta(old, folder / "delta", folder / "made")
            assert (folder / "made").read_bytes() == new.read_bytes()


def _generation(path: Path, numbers: Mapping[str, int]) -> Path:
    values = {"prediction": EntityValues("value", np.array([*numbers.values()], np.float64))}
    return written(path, [*numbers], values, classes=())


@given(st.binary(min_size=1, max_size=24), st.integers(0, 1 << 20))
def test_a_file_that_was_written_over_answers_what_was_in_it_or_nothing(
    monitor: Monitor, junk: bytes, at: int
) -> None:
    with TemporaryDirectory() as folder:
        path = written(Path(folder) / "p", NAMES, _numbers(), classes=())
        raw = bytearray(path.read_bytes())
        _, directory = parse_header(bytes(raw))
        place = directory + at % (len(raw) - directory - len(junk))
        raw[place : place + len(junk)] = junk
        path.write_bytes(raw)
        answers = opened(path, monitor)
        for i, name in enumerate(NAMES):
            found = answers.stored(name)
            assert found is None or found.value == i


def _numbers() -> dict[str, EntityValues]:
    return {"prediction": EntityValues("value", np.arange(len(NAMES), dtype=np.float64))}


FIELDS: Final = st.builds(
    ValueField,
    st.sampled_from(["items", "scores", "prediction", "probabilities", "label"]),
    st.sampled_from(["label", "probabilities", "value", "other", "scores"]),
    st.sampled_from(["float32", "float64", "float16", "uint8", "int64", "bool"]),
    st.sampled_from([(), (1,), (3,), (2, 2)]),
)
ENCODED: Final = st.builds(
    lambda field, encoding: replace(
        field, dtype="float32", encoding=encoding,
        **({"scale": 1e300, "offset": -1e308} if encoding == "uint8" else {}),
    ),
    FIELDS, st.sampled_from(["float16", "uint8"]),
)  # fmt: skip
DEFAULTS: Final = st.sampled_from([None, 1, 2.5, "x"])


@given(
    st.lists(FIELDS | ENCODED, min_size=1, max_size=3, unique_by=lambda field: field.name),
    st.sampled_from([(), (0, 1, 2), ("a",)]),
    st.integers(0, 2),
    DEFAULTS,
    st.lists(st.sampled_from([0, 1, 39, 41, 100, 1 << 31, (1 << 32) - 1]), max_size=3),
    st.randoms(use_true_random=False),
)
def test_a_file_that_lies_with_true_checksums_is_refused_or_gives_some_answer(
    monitor: Monitor,
    fields: list[ValueField],
    classes: tuple[Any, ...],
    top: int,
    default: Any,
    edges: list[int],
    chance: random.Random,
) -> None:
    about = replace(ABOUT, classes=classes, top=top, default=default)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p"
        header = PackHeader(
            *("demo", "3.0", "a" * 64, "entity-answers-v1", len(NAMES)), *sizes(len(NAMES)),
            tuple(fields), answered_by="x", body="0" * 64, entities=about,
        )  # fmt: skip
        path.write_bytes(_hostile(header, edges, chance))
        try:
            answers = opened(path, monitor)
        except PackError:
            return
        for name in NAMES:
            found = answers.stored(name)
            assert found is None or _used(found)
        other = answers.default("nobody")
        assert other is None or _used(other)


def _hostile(header: PackHeader, edges: list[int], chance: random.Random) -> bytes:
    """Return a file of random values, whose directory is wrong at ``edges``, well sealed."""
    keys = entity_keys(NAMES)
    keys = keys[sorted_order(keys)]
    size = header.value_bytes
    values = np.frombuffer(chance.randbytes(len(keys) * size), np.uint8).reshape(-1, size)
    directory = directory_of(keys, header.directory_bits)
    for edge in edges:
        directory[chance.randrange(len(directory))] = edge
    marks = np.full(1 << header.filter_bits, 255, np.uint8)
    whole = (directory, checks_of(directory, 0, keys, values), marks, keys, values)
    parts = (section.tobytes() for section in whole)
    body = b"".join(part + bytes(-len(part) % ALIGNMENT) for part in parts)
    return replace(header, body=hashlib.sha256(body).hexdigest()).to_bytes() + body


def test_a_directory_that_leads_out_of_the_keys_finds_nothing_there(
    monitor: Monitor, tmp_path: Path
) -> None:
    shares = np.ones((len(NAMES), 3))
    values = {"probabilities": EntityValues("probabilities", shares)}
    raw = bytearray(written(tmp_path / "p", NAMES, values).read_bytes())
    header, directory = parse_header(bytes(raw))
    places = sections(header, directory)
    stranger = next(n for n in map(str, range(99)) if entity_keys([n])[0, 0] < 32)
    # Its key lies among the values, 16 bytes from each other like keys, far behind the last entry.
    raw[places.values + 960 - 16 : places.values + 960] = entity_keys([stranger]).tobytes()
    edges = np.frombuffer(raw, "<u4", (1 << header.directory_bits) + 1, directory).copy()
    edges[1:-1] = 1 << 20
    raw[directory : directory + edges.nbytes] = edges.tobytes()
    raw[places.filter : places.keys] = b"\xff" * (places.keys - places.filter)
    stored = raw[places.values : places.values + 960]
    crc = block_crc(edges, raw[places.keys : places.keys + 16 * len(NAMES)], stored)
    raw[places.checks : places.checks + 4] = crc.to_bytes(4, "little")
    (tmp_path / "q").write_bytes(raw)
    answers = opened(tmp_path / "q", monitor)
    assert [answers.stored(name) for name in (stranger, *NAMES)] == [None] * (1 + len(NAMES))
    assert answers.why_none(stranger) == "the answers of generation 7 are damaged on the disk"


def _used(found: Prediction) -> bool:
    """Read all that an application reads of an answer."""
    read = (found.label, found.labels, found.probabilities, found.value, found.ranked, found.age)
    return bool(repr(found)) and len(read) > 0


SIZES: Final[dict[str, dict[str, Any]]] = {
    "a value of many axes": {"shape": (1,) * 40},
    "a value larger than any memory": {"shape": (1 << 62,)},
    "a value whose size is no number of a machine": {"shape": (1 << 40, 1 << 40)},
}


@pytest.mark.parametrize("case", SIZES)
def test_values_that_no_device_could_hold_are_no_pack(tmp_path: Path, case: str) -> None:
    path = written(tmp_path / "p", NAMES, _numbers(), classes=())
    raw = path.read_bytes()
    header, directory = parse_header(raw)
    with pytest.raises(ContractError, match="expected"):
        replace(header, fields=(replace(header.fields[0], **SIZES[case]),))
    text = raw[20:].replace(b'"shape":[]', b'"shape":%s' % str([*SIZES[case]["shape"]]).encode(), 1)
    text = text[: text.rindex(b"}", 0, directory) + 1]
    head = PREFIX.pack(MAGIC, PACK_FORMAT, len(text), zlib.crc32(text)) + text
    path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + raw[directory:])
    with pytest.raises(PackError, match="cannot open the pack"):
        EntityPredictions.open(path, "demo")
