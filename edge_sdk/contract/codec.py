"""JSON to frozen dataclasses and back: strict about types, tolerant of unknown fields.

Invariants:

* ``decode`` returns a value whose every field has its annotated type, or raises
  :class:`ContractError` naming the path (``plan.experiment.arms[0].name``), the expected
  and the actual value. Nothing is coerced, but an integer is accepted where a float is declared.
* Unknown fields are ignored: a newer peer may send more.
* ``None`` and a field that is left out are the same, in both directions.
* ``encode`` is deterministic: sorted keys, no white space, no NaN or infinity.
* Meaning (ranges, sums, cross-field rules) is checked by each class in ``__post_init__`` with
  :func:`require`; the path is added here.
* ``format`` is parsed before all other fields: what has another number is refused by it, not by the
  first field that looks different in it.
* What was decoded can be stored and sent again: integers fit into 64 bits, numbers are finite,
  texts are Unicode that UTF-8 can carry, without NUL (which PostgreSQL does not store).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.errors import require as require  # policies of the hub take it from here
from edge_sdk.contract.limits import LARGEST_INTEGER

T = TypeVar("T")

_SCALARS: Final = frozenset({int, float, str, bool})

Parser = Callable[[Any, str], Any]
"""Makes a value of parsed JSON; the other argument is its path in messages."""


def encode(value: Any) -> bytes:
    """Canonical UTF-8 JSON of a contract dataclass.

    Raises:
        ContractError: a number is NaN or infinite.
    """
    try:
        return json.dumps(
            to_plain(value),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        ).encode()
    except ValueError as error:
        raise ContractError(f"{type(value).__name__}: expected finite numbers; {error}") from error


def to_plain(value: Any) -> Any:
    """Dicts, lists and scalars ready for JSON; fields that are ``None`` are left out."""
    kind: Any = type(value)
    if kind in _SCALARS:
        return value
    names = _names(kind)
    if names is not None:
        fields = [(name, getattr(value, name)) for name in names]
        return {name: to_plain(item) for name, item in fields if item is not None}
    if kind is dict or isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        scalars = {*map(type, value)} <= _SCALARS
        return list(value) if scalars else [to_plain(item) for item in value]
    return value


@functools.cache
def _names(cls: Any) -> tuple[str, ...] | None:
    """Names of a dataclass's fields; ``None`` for another class."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple(field.name for field in dataclasses.fields(cls))


def decode(cls: type[T], raw: bytes, *, limit: int) -> T:
    """Parse JSON into a dataclass.

    Args:
        cls: dataclass to make.
        raw: UTF-8 JSON.
        limit: largest number of bytes to parse.

    Raises:
        ContractError: ``raw`` is too large, not JSON, or not of the declared form.
    """
    what = cls.__name__
    if len(raw) > limit:
        raise ContractError(f"{what}: expected at most {limit} bytes, got {len(raw)}")
    return from_plain(cls, parse_json(raw, what), what)


def parse_json(raw: bytes, what: str) -> Any:
    """Parse UTF-8 JSON into dicts, lists and scalars.

    Args:
        raw: UTF-8 JSON.
        what: name of it in messages.

    Raises:
        ContractError: it is none, or nested too deeply for the parser.
    """
    try:
        # Decoded here: json.loads would guess UTF-16 and pass lone surrogates. Its parser takes NaN
        # and Infinity, which JSON does not have, and recurses on nesting. One is made for all.
        return _JSON.decode(raw.decode())
    except (ValueError, RecursionError) as error:
        # How deep the parser follows depends on who calls it; the reason must not.
        why = "expected less nesting" if isinstance(error, RecursionError) else error
        raise ContractError(f"{what}: expected UTF-8 JSON; {why}") from error


def from_plain(cls: type[T], plain: Any, path: str | None = None) -> T:
    """Make a dataclass of JSON that is already parsed; see :func:`decode`.

    Args:
        cls: dataclass to make.
        plain: parsed JSON.
        path: name of the value in messages; by default the class's.
    """
    where = path or cls.__name__
    try:
        return typing.cast(T, _parser(cls)(plain, where))
    except RecursionError as error:  # what the parser of JSON has just managed
        raise ContractError(f"{where}: expected less nesting") from error


def check_text(path: str, text: str) -> str:
    """Return ``text`` if it can be stored and sent.

    Raises:
        ContractError: it has a NUL or a lone surrogate.
    """
    if text.isascii():
        if "\0" in text:
            _fail(path, "text without NUL", text)
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        _fail(path, "Unicode text, without a lone surrogate", text)
    if "\0" in text:
        _fail(path, "text without NUL", text)
    return text


def check_plain(path: str, plain: Any, levels: int = 32) -> None:
    """Refuse parsed JSON of no declared form that cannot be stored and sent again.

    Args:
        path: name of it in messages.
        plain: dicts, lists and scalars.
        levels: how deep it may be nested.

    Raises:
        ContractError: it is deeper, or holds a text or a number that :func:`decode` would refuse.
    """
    if isinstance(plain, dict | list):
        require(levels > 0, f"{path}: expected less nesting")
        for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
            if isinstance(key, str):
                check_text(f"{path}: name", key)
            check_plain(f"{path}.{key}"[:200], value, levels - 1)
    elif plain is not None:
        _parse_scalar(type(plain), plain, path)


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _parser(annotation: Any) -> Parser:
    """Return what parses values of an annotation; a dataclass keeps those of its fields.

    To find out what an annotation is takes longer than to parse a value of it.
    """
    if annotation in _SCALARS:
        return functools.partial(_parse_scalar, annotation)
    if dataclasses.is_dataclass(annotation):
        return functools.partial(_parse_dataclass, annotation)
    arguments, origin = typing.get_args(annotation), typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        parsers = [_parser(each) for each in arguments if each is not types.NoneType]
        return functools.partial(_parse_union, parsers, types.NoneType in arguments)
    if origin is typing.Literal:
        return functools.partial(_parse_literal, arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return functools.partial(_parse_items, arguments[0], _parser(arguments[0]))
    if origin is tuple:
        return functools.partial(_parse_tuple, [_parser(each) for each in arguments])
    if origin in (dict, Mapping):
        return functools.partial(_parse_mapping, _parser(arguments[1]))
    if annotation is Any:
        return lambda plain, path: plain
    return functools.partial(_parse_scalar, annotation)


def _parse_dataclass(cls: Any, plain: Any, path: str) -> Any:
    if not isinstance(plain, dict):
        _fail(path, "an object", plain)
    arguments = {}
    for name, parse, needed, optional in _fields(cls):
        if name in plain:
            arguments[name] = parse(plain[name], f"{path}.{name}")
        elif needed and optional:  # ``encode`` leaves such a field out
            arguments[name] = None
        elif needed:
            raise ContractError(f"{path}.{name}: expected a value, but the field is missing")
    try:
        return cls(**arguments)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error


@functools.cache
def _fields(cls: Any) -> tuple[tuple[str, Parser, bool, bool], ...]:
    """Name and parser of each field, whether it has no default, and whether it may be ``None``."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        (
            f.name,
            _parser(hints[f.name]),
            f.default is missing and f.default_factory is missing,
            types.NoneType in typing.get_args(hints[f.name]),
        )
        for f in sorted(dataclasses.fields(cls), key=lambda f: f.name != "format")
    )


def _parse_union(parsers: Sequence[Parser], nullable: bool, plain: Any, path: str) -> Any:
    if plain is None and nullable:
        return None
    for parse in parsers[:-1]:
        try:
            return parse(plain, path)
        except ContractError:
            continue
    return parsers[-1](plain, path)


def _parse_literal(allowed: tuple[Any, ...], plain: Any, path: str) -> Any:
    # 1 == True in Python: the types are compared too.
    valid = any(plain == each and type(plain) is type(each) for each in allowed)
    return plain if valid else _fail(path, f"one of {list(allowed)}", plain)


def _parse_items(annotation: Any, parse: Parser, plain: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(plain, list):
        _fail(path, "an array", plain)
    # Counts and rows of numbers are most of what is parsed: each kind of them at once.
    kinds = {*map(type, plain)}
    counts = annotation is int and kinds <= {int}
    numbers = kinds == {float} and float in (annotation, *typing.get_args(annotation))
    if (counts and max(map(abs, plain), default=0) <= LARGEST_INTEGER) or (
        numbers and all(map(math.isfinite, plain))
    ):
        return tuple(plain)
    return tuple(parse(x, f"{path}[{i}]") for i, x in enumerate(plain))


def _parse_tuple(parsers: Sequence[Parser], plain: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(plain, list):
        _fail(path, "an array", plain)
    if len(plain) != len(parsers):
        _fail(path, f"an array of {len(parsers)}", plain)
    pairs = zip(parsers, plain, strict=True)
    return tuple(parse(x, f"{path}[{i}]") for i, (parse, x) in enumerate(pairs))


def _parse_mapping(parse: Parser, plain: Any, path: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        _fail(path, "an object", plain)
    for key in plain:
        check_text(f"{path}: name", key)
    return {key: parse(item, f"{path}.{key}") for key, item in plain.items()}


def _parse_scalar(annotation: Any, plain: Any, path: str) -> Any:
    if annotation is float and type(plain) in (int, float):
        finite = abs(plain) <= sys.float_info.max
        return float(plain) if finite else _fail(path, "a finite number", plain)
    if type(plain) is annotation:
        if annotation is str:
            return check_text(path, plain)
        if annotation is int and abs(plain) > LARGEST_INTEGER:
            _fail(path, "an integer of 64 bits", plain)
        return plain
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    return _fail(path, names.get(annotation, str(annotation)), plain)


def _fail(path: str, expected: str, value: Any) -> typing.NoReturn:
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    shown = text if len(text) <= 60 else text[:57] + "..."
    raise ContractError(f"{path}: expected {expected}, got {shown}")
