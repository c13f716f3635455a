"""The codec: round trips, exact refusals, nothing but ContractError for any bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.codec import decode, encode, from_plain, to_plain
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.messages import Upload
from edge_sdk.contract.plan import Plan
from tests.contract.examples import EXAMPLES, PLAN

LIMIT = 1 << 20


@dataclass(frozen=True)
class Box:
    number: float
    names: tuple[str, ...] = ()
    pair: tuple[int, str] | None = None
    table: dict[str, int] | None = None
    counts: tuple[int, ...] = ()
    row: tuple[float | int | str | None, ...] = ()


REFUSALS = {
    "not JSON": (b"{", "expected UTF-8 JSON"),
    "not UTF-8": (b'{"number":"\xff"}', "expected UTF-8 JSON"),
    "nested beyond the parser": (b"[" * 200_000, "expected UTF-8 JSON"),
    "not an object": (b"[]", "Box: expected an object, got []"),
    "a missing field": (b"{}", "Box.number: expected a value, but the field is missing"),
    "a string for a number": (b'{"number":"1"}', 'Box.number: expected a number, got "1"'),
    "a boolean for a number": (b'{"number":true}', "Box.number: expected a number, got true"),
    "NaN": (b'{"number":NaN}', "NaN is not a JSON number"),
    "an infinite literal": (b'{"number":1e999}', "Box.number: expected a finite number"),
    "an integer beyond floats": (b'{"number":1' + b"0" * 400 + b"}", "expected a finite number"),
    "a null where none may be": (b'{"number":null}', "Box.number: expected a number, got null"),
    "an object for an array": (b'{"number":1,"names":{}}', "Box.names: expected an array"),
    "a wrong item": (b'{"number":1,"names":["a",2]}', "Box.names[1]: expected a string, got 2"),
    "a short pair": (b'{"number":1,"pair":[1]}', "Box.pair: expected an array of 2"),
    "UTF-16": ('{"number":1}'.encode("utf-16"), "expected UTF-8 JSON"),
    "a lone surrogate": (
        b'{"number":1,"names":["a\\ud800"]}',
        "Box.names[0]: expected Unicode text",
    ),
    "half a character in bytes": (b'{"number":1,"names":["\xed\xa0\x80"]}', "expected UTF-8 JSON"),
    "a NUL": (b'{"number":1,"names":["\\u0000"]}', "Box.names[0]: expected text without NUL"),
    "a NUL beside other scripts": (
        '{"number":1,"names":["é\\u0000"]}'.encode(),
        "Box.names[0]: expected text without NUL",
    ),
    "a NUL in a name": (b'{"number":1,"table":{"a\\u0000":1}}', "Box.table: name: expected text"),
    "an integer beyond 64 bits": (
        b'{"number":1,"table":{"k":9223372036854775808}}',
        "Box.table.k: expected an integer of 64 bits",
    ),
    "one of many integers beyond 64 bits": (
        b'{"number":1,"counts":[1,2,-9223372036854775809]}',
        "Box.counts[2]: expected an integer of 64 bits",
    ),
    "one of many numbers that is not finite": (
        b'{"number":1,"row":[0.5,1.5,1e999]}',
        "Box.row[2]: expected a string, got Infinity",
    ),
    "one of many numbers that is none": (
        b'{"number":1,"row":[0.5,[1.5]]}',
        "Box.row[1]: expected a string, got [1.5]",
    ),
    "nesting that the parser takes": (
        b'{"number":' + b"[" * 900 + b"]" * 900 + b"}",
        "Box.number: expected a number",
    ),
    "a wrong value": (b'{"number":1,"table":{"k":0.5}}', "Box.table.k: expected an integer"),
}


ROWS = {
    "numbers": ("[0.5,-1.5]", (0.5, -1.5)),
    "whole numbers, as the first type that takes them": ("[0.5,2]", (0.5, 2.0)),
    "whole numbers alone": ("[1,2]", (1.0, 2.0)),
    "texts and what is missing": ('[0.5,"a",null]', (0.5, "a", None)),
    "nothing": ("[]", ()),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_of_any_kinds_is_parsed_value_by_value(case: str) -> None:
    text, row = ROWS[case]
    box = decode(Box, f'{{"number":1,"row":{text}}}'.encode(), limit=LIMIT)
    assert box.row == row
    assert [type(value) for value in box.row] == [type(value) for value in row]


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_not_declared_is_refused_with_its_path(case: str) -> None:
    raw, message = REFUSALS[case]
    with pytest.raises(ContractError) as caught:
        decode(Box, raw, limit=LIMIT)
    assert message in str(caught.value)


def test_bytes_above_the_limit_are_refused_unread() -> None:
    with pytest.raises(ContractError, match="expected at most 10 bytes, got 11"):
        decode(Box, b"not json...", limit=10)


def test_an_integer_is_taken_where_a_float_is_declared() -> None:
    assert decode(Box, b'{"number":3}', limit=LIMIT) == Box(3.0)


def test_an_infinite_number_is_not_written() -> None:
    with pytest.raises(ContractError, match="finite"):
        encode(Box(float("inf")))


@pytest.mark.parametrize("name", EXAMPLES)
def test_encoding_does_not_depend_on_the_order_of_mappings(name: str) -> None:
    def reverse(plain: Any) -> Any:
        if isinstance(plain, dict):
            return {key: reverse(plain[key]) for key in reversed(plain)}
        return [reverse(item) for item in plain] if isinstance(plain, list) else plain

    cls = type(EXAMPLES[name])
    again = from_plain(cls, reverse(json.loads(encode(EXAMPLES[name]))))
    assert encode(again) == encode(EXAMPLES[name])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_parsed_or_refused_with_a_contract_error(plain: Any) -> None:
    raw = json.dumps(plain).encode()
    for cls in (Plan, Upload):
        try:
            decode(cls, raw, limit=LIMIT)
        except ContractError:
            continue


def _paths(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(plain, dict):
        items = plain.items()
    elif isinstance(plain, list):
        items = enumerate(plain)
    return [path, *(p for key, item in items for p in _paths(item, (*path, key)))]


PLAN_PATHS = _paths(to_plain(PLAN))[1:]


@given(st.sampled_from(PLAN_PATHS), JSON)
def test_a_plan_damaged_anywhere_is_a_plan_or_a_contract_error(
    path: tuple[Any, ...], damage: Any
) -> None:
    plain = json.loads(encode(PLAN))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = damage
    try:
        read = decode(Plan, json.dumps(plain).encode(), limit=LIMIT)
    except ContractError:
        return
    assert decode(Plan, encode(read), limit=LIMIT) == read


@dataclass(frozen=True)
class Reading:
    score: float | None
    name: str


def test_none_comes_back_from_the_field_that_is_left_out_for_it() -> None:
    raw = encode(Reading(None, "a"))
    assert raw == b'{"name":"a"}'
    assert decode(Reading, raw, limit=LIMIT) == Reading(None, "a")
