"""Every value that a dataclass refuses, not only the first: a person wants to see them at once."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.errors import ContractError

FIELD_CHECK: Final = re.compile(r"\W*(\w+): expected")
"""The begin of a message, behind its path, that is about one field alone."""


def value_errors(annotation: Any, plain: Any, path: str) -> list[str]:
    """Return a message for each value that is refused, such as ``NAME.gate.max_bytes: expected …``.

    An object is only checked as a whole once its fields are right: what it would say of a value of
    the wrong type means nothing.

    Args:
        annotation: a dataclass, or the type of one of its fields.
        plain: value of it, as JSON has it.
        path: begin of the messages.
    """
    # Depth first: errors come out in the order of the file.
    inner = [
        message
        for part, value, place in _parts(_without_none(annotation), plain, path)
        for message in value_errors(part, value, place)
    ]
    return inner or _own_errors(annotation, plain, path)


def _own_errors(annotation: Any, plain: Any, path: str) -> list[str]:
    """Check a value; after an error about one field, check the others without it.

    The path of such an error ends with the field, so that a file's line can be found.
    """
    messages: list[str] = []
    rest = plain
    while True:
        try:
            from_plain(annotation, rest, path)
        except ContractError as error:
            match = FIELD_CHECK.match(str(error).removeprefix(path))
            if match is None or not isinstance(rest, dict) or match[1] not in rest:
                # Of the whole object. Behind others it may only be about what was left out here.
                return messages or [str(error)]
            rest = {name: value for name, value in rest.items() if name != match[1]}
            messages.append(f"{path}.{str(error).removeprefix(path).lstrip('.: ')}")
        else:
            return messages


def _parts(annotation: Any, plain: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """The type, value and path of each value inside an object or an array."""
    if dataclasses.is_dataclass(annotation) and isinstance(plain, dict):
        hints = type_hints(annotation)
        for name, value in plain.items():
            if name in hints and value is not None:
                yield hints[name], value, f"{path}.{name}"
    arguments = typing.get_args(annotation)
    if arguments[1:] == (Ellipsis,) and isinstance(plain, list):
        for i, value in enumerate(plain):
            yield arguments[0], value, f"{path}[{i}]"


@functools.cache
def type_hints(cls: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields; a policy asks for them with each of its keys."""
    return typing.get_type_hints(cls)


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
        return annotation
    members = [each for each in typing.get_args(annotation) if each is not types.NoneType]
    return members[0] if len(members) == 1 else annotation
