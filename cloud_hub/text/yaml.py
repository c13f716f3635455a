"""Strict YAML: a file that a person keeps in git, read into a frozen dataclass; and written.

Anything that would silently mean something else is refused with its line: duplicate and unknown
keys, anchors and aliases, tags, a second document. Only ``true`` and ``false`` are booleans, and
dates stay texts, so ``no`` and ``2026-01-01`` never turn into something that nobody wrote. A field
``NAME_seconds`` is written ``NAME``, as a number of seconds or with a unit: ``90s``, ``10m``,
``36h``, ``7d``.

Mistakes in keys, durations and unquoted texts are collected, one line each, so that a person sees
them all at once; values are checked by the dataclasses only when there are none.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from typing import Any, Final, TypeVar

import yaml

from cloud_hub.errors import Invalid
from cloud_hub.text.durations import EXPECTED, duration_of
from cloud_hub.text.spelling import did_you_mean
from cloud_hub.text.value_errors import type_hints, value_errors
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.errors import ContractError

T = TypeVar("T")
LIMIT: Final = 1 << 18
"""Characters that a file may have."""

DEPTH: Final = 40
"""How deep its values may be nested."""

SECONDS: Final = "_seconds"
"""The end of a field's name that a person does not write."""

BREAKS: Final = frozenset("\x85\u2028\u2029\ufeff")
"""PyYAML writes these bare and reads them as a break or as nothing, unless they are quoted."""


class _Loader(yaml.SafeLoader):
    """The core types of YAML 1.2: no dates, no ``yes`` and ``no``, no numbers of base 60."""


class _Dumper(yaml.SafeDumper):
    """Quotes texts that the loader, or any other reader, would take for something else."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if BREAKS.intersection(text) else None
    ),
)
# PyYAML resolves by YAML 1.1, where no is false, 1:30 is 90 and 2026-01-01 is a date. These four
# patterns are those of YAML 1.2's core schema, without octal and hexadecimal numbers.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", "true|false", "tf"),
    ("null", "null|~|", ["n", "~", ""]),
    ("int", "[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+0123456789"),
):
    for _each in (_Loader, _Dumper):
        _each.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first)
        )


def read_yaml(cls: type[T], text: str, name: str) -> T:
    """Read ``text`` into the dataclass ``cls``; an empty text is all defaults.

    Args:
        cls: dataclass of what the file declares.
        text: YAML, at most :data:`LIMIT` characters.
        name: file name, for messages.

    Raises:
        Invalid: file, line and path of each mistake, with what was expected and what was read.
    """
    reader = _YamlReader(name)
    plain = reader.plain(cls, _compose(text, name), "")
    if reader.mistakes:
        raise Invalid("\n".join(reader.mistakes))
    try:
        return from_plain(cls, plain, name)
    except ContractError as error:
        messages = value_errors(cls, plain, name) or [str(error)]
        raise Invalid("\n".join(reader.with_line(message) for message in messages)) from error


def write_yaml(value: Any, **layout: Any) -> str:
    """Return plain values as YAML that reads back unchanged; ``layout`` is PyYAML's."""
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, **layout)
    return text


def text_of(raw: bytes, name: str) -> str:
    """Decode the file called ``name``; raises Invalid unless it is UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{name}: expected UTF-8; {error}") from error


def _compose(text: str, name: str) -> yaml.Node | None:
    if len(text) > LIMIT:
        raise Invalid(f"{name}: expected at most {LIMIT} characters, got {len(text)}")
    try:
        _check_tokens(text, name)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Invalid(f"{name}{line}: expected YAML; {error.problem}") from error
    except yaml.YAMLError as error:
        raise Invalid(f"{name}: expected YAML; {error}") from error


def _check_tokens(text: str, name: str) -> None:
    """Refuse anchors, aliases and tags, and nesting deeper than :data:`DEPTH`.

    It looks at tokens, before the recursive parser that deep nesting would overflow, and before
    aliases could multiply ("billion laughs").
    """
    opening = (
        yaml.BlockMappingStartToken,
        yaml.BlockSequenceStartToken,
        yaml.FlowMappingStartToken,
        yaml.FlowSequenceStartToken,
    )
    closing = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
    depth = 0
    for token in yaml.scan(text, Loader=_Loader):
        where = f"{name}:{token.start_mark.line + 1}"
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
            raise Invalid(f"{where}: expected neither anchors nor tags; write it out")
        depth += isinstance(token, opening) - isinstance(token, closing)
        if depth > DEPTH:
            raise Invalid(f"{where}: expected at most {DEPTH} levels")


class _YamlReader:
    """Turns YAML nodes into plain values, and remembers the line of each path."""

    def __init__(self, name: str) -> None:
        self.mistakes: list[str] = []
        self._name = name
        self._lines: dict[str, int] = {}
        self._build = _Loader("").construct_object

    def plain(self, annotation: Any, node: yaml.Node | None, path: str) -> Any:
        """Return the plain value of a node.

        Args:
            annotation: type that the dataclass declares for it.
            node: parsed YAML; ``None`` for an empty file.
            path: place in the file, such as ``steps[1].soak``.
        """
        annotation = _without_none(annotation)
        if node is None:
            return {}
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(annotation, node, path)
        if isinstance(node, yaml.SequenceNode):
            inner = (typing.get_args(annotation) or (Any,))[0]
            return [self.plain(inner, n, f"{path}[{i}]") for i, n in enumerate(node.value)]
        return self._scalar(annotation, node, path)

    def with_line(self, message: str) -> str:
        """Return ``NAME.a.b: text`` as ``NAME:LINE: a.b: text``.

        A value that is missing has no line of its own: it gets the one of the nearest parent.
        """
        message = message.removeprefix(self._name).replace(SECONDS, "")
        where, _, text = message.partition(": ")
        path = parent = where.lstrip(".")
        while parent and parent not in self._lines:
            parent = re.sub(r"(\.|^)[^.\[]*$|\[\d+\]$", "", parent)
        line = self._lines.get(parent, 1)
        return f"{self._name}:{line}: {path}: {text}" if path else f"{self._name}:{line}: {text}"

    def _scalar(self, annotation: Any, node: yaml.Node, path: str) -> Any:
        line = self._lines[path]
        try:
            value = self._build(node)
        except ValueError as error:  # an integer with more digits than Python converts
            raise Invalid(f"{self._name}:{line}: {path}: {error}") from error
        if annotation is str and isinstance(value, int | float):
            # The version 1.10 as a number would be 1.1, so the text is never guessed from it.
            self._mistake(
                line,
                f"{path}: expected a string, got {node.value}; put quotes around it: "
                f'"{node.value}"',
            )
        return value

    def _mapping(self, annotation: Any, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or not isinstance(self._build(key_node), str):
                raise Invalid(f"{self._name}:{line}: {path or 'file'}: expected texts as keys")
            inside = f"{path}.{key}" if path else key
            field, inner = self._field(annotation, key, inside, line)
            if field in values:
                self._mistake(line, f"{inside}: stands twice")
            if field is not None:
                value = self.plain(inner, value_node, inside)
                values[field] = value if field == key else self._seconds(value, inside)
        return values

    def _field(self, annotation: Any, key: str, path: str, line: int) -> tuple[str | None, Any]:
        """The dataclass's field for a key, ``None`` if it has none, and its type."""
        if not dataclasses.is_dataclass(annotation):
            arguments = typing.get_args(annotation)
            return key, arguments[-1] if typing.get_origin(annotation) is dict else Any
        hints = type_hints(annotation)
        names = [field.name for field in dataclasses.fields(annotation)]
        for name in names:
            if key == name.removesuffix(SECONDS):
                return name, hints[name]
        keys = sorted(name.removesuffix(SECONDS) for name in names)
        self._mistake(line, f"{path}: unknown; {did_you_mean(key, keys)}expected one of {keys}")
        return None, Any

    def _seconds(self, value: Any, path: str) -> Any:
        if value is None:
            return None
        seconds = duration_of(value)
        if seconds is None:
            self._mistake(self._lines[path], f"{path}: expected {EXPECTED}, got {value!r:.60}")
            return value
        return int(seconds) if seconds == int(seconds) else seconds

    def _mistake(self, line: int, text: str) -> None:
        self.mistakes.append(f"{self._name}:{line}: {text}")


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
        return annotation
    return next(a for a in typing.get_args(annotation) if a is not types.NoneType)
