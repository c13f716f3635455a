"""Strict YAML: a text that a person keeps in git, read into a frozen dataclass; and written.

What would silently mean something else is refused with its line: duplicate and unknown keys,
anchors and aliases, tags, a second document. Only ``true`` and ``false`` are booleans, and dates
stay texts, so ``no`` and ``2026-01-01`` never turn into something that nobody wrote. A field
``NAME_seconds`` is written ``NAME``, as a number of seconds or with a unit: ``90s``, ``10m``,
``36h``, ``7d``.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from typing import Any, Final, TypeVar

import yaml

from cloud_hub.errors import Invalid
from cloud_hub.text.spelling import did_you_mean
from cloud_hub.text.value_errors import value_errors
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.errors import ContractError

T = TypeVar("T")
LIMIT: Final = 1 << 18
"""Characters that a file may have."""

DEPTH: Final = 40
"""How deep its values may be nested."""

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
SECONDS: Final = "_seconds"
BREAKS: Final = frozenset("\x85\u2028\u2029\ufeff")
"""PyYAML writes these bare and reads them as a break or as nothing, unless they are quoted."""

TIMES: Final = "seconds, or 90s, 10m, 36h, 7d, at most 100 years"
LONGEST: Final = 100 * 365 * 86_400.0
"""A hundred years: beyond, clocks and databases end."""

DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)


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
        cls: what the file declares.
        text: YAML.
        name: of the file, for messages.

    Raises:
        Invalid: with file, line and path, what was expected, and what came.
    """
    reader = _YamlReader(name)
    plain = reader.plain(cls, _compose(text, name), "")
    try:
        return from_plain(cls, plain, name)
    except ContractError as error:
        messages = value_errors(cls, plain, name) or [str(error)]
        raise Invalid("\n".join(reader.placed(message) for message in messages)) from error


def write_yaml(value: Any, **layout: Any) -> str:
    """Plain values as YAML that is read back as they are; ``layout`` is PyYAML's."""
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, **layout)
    return text


def text_of(raw: bytes, name: str) -> str:
    """The text of a file called ``name``; raises Invalid."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{name}: expected UTF-8; {error}") from error


def shown(seconds: float) -> str:
    """A number of seconds as one writes it: ``7d``, ``90s``."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds / UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds!r}s"


def seconds_of(text: str) -> float:
    """The seconds that ``10m`` or ``90`` says; raises Invalid."""
    found = _duration(text)
    if found is None:
        raise Invalid(f"expected {TIMES}, got {text[:40]!r}")
    return found


def _duration(value: Any) -> float | None:
    """The seconds that a value says, if it is a time."""
    if isinstance(value, str):
        match = DURATION.fullmatch(value.strip())
        value = float(match[1]) * UNITS[match[2] or "s"] if match else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and 0 <= value <= LONGEST else None


def _compose(text: str, name: str) -> yaml.Node | None:
    if len(text) > LIMIT:
        raise Invalid(f"{name}: expected at most {LIMIT} characters, got {len(text)}")
    try:
        _refuse_cleverness(text, name)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Invalid(f"{name}{line}: expected YAML; {error.problem}") from error
    except yaml.YAMLError as error:
        raise Invalid(f"{name}: expected YAML; {error}") from error


def _refuse_cleverness(text: str, name: str) -> None:
    """No anchors, aliases and tags, and no towers that the parser itself would fall from."""
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
    """Turns nodes into plain values, and remembers where each stood."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: dict[str, int] = {}
        self._build = _Loader("").construct_object

    def plain(self, annotation: Any, node: yaml.Node | None, path: str) -> Any:
        """The plain value of a node that should be ``annotation``."""
        annotation = _bare(annotation)
        if node is None:
            return {}
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(annotation, node, path)
        if isinstance(node, yaml.SequenceNode):
            inner = (typing.get_args(annotation) or (Any,))[0]
            return [self.plain(inner, n, f"{path}[{i}]") for i, n in enumerate(node.value)]
        try:
            return self._build(node)
        except ValueError as error:  # more digits than Python converts
            raise Invalid(f"{self._name}:{self._lines[path]}: {path}: {error}") from error

    def placed(self, said: str) -> str:
        """``said`` (``NAME.a.b: text``) with the line of ``a.b``."""
        said = said.removeprefix(self._name).replace(SECONDS, "")
        where, _, text = said.partition(": ")
        path = where.lstrip(".")
        known = path
        while known and known not in self._lines:
            known = re.sub(r"(\.|^)[^.\[]*$|\[\d+\]$", "", known)
        line = self._lines.get(known, 1)
        return f"{self._name}:{line}: {path}: {text}" if path else f"{self._name}:{line}: {text}"

    def _mapping(self, annotation: Any, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or not isinstance(self._build(key_node), str):
                raise Invalid(f"{self._name}:{line}: {path or 'file'}: expected texts as keys")
            inside = f"{path}.{key}" if path else key
            field, inner = self._field(annotation, key, inside, line)
            if field in found:
                raise Invalid(f"{self._name}:{line}: {inside}: stands twice")
            value = self.plain(inner, value_node, inside)
            found[field] = value if field == key else self._seconds(value, inside)
        return found

    def _field(self, annotation: Any, key: str, path: str, line: int) -> tuple[str, Any]:
        """The dataclass's field for a key, and its type."""
        if not dataclasses.is_dataclass(annotation):
            arguments = typing.get_args(annotation)
            return key, arguments[-1] if typing.get_origin(annotation) is dict else Any
        hints = typing.get_type_hints(annotation)
        names = [field.name for field in dataclasses.fields(annotation)]
        for name in names:
            if key == name.removesuffix(SECONDS):
                return name, hints[name]
        known = sorted(name.removesuffix(SECONDS) for name in names)
        near = did_you_mean(key, known)
        raise Invalid(f"{self._name}:{line}: {path}: unknown; {near}expected one of {known}")

    def _seconds(self, value: Any, path: str) -> Any:
        if value is None:
            return None
        seconds = _duration(value)
        if seconds is None:
            said = f"{self._name}.{path}: expected {TIMES}, got {value!r:.60}"
            raise Invalid(self.placed(said))
        return int(seconds) if seconds == int(seconds) else seconds


def _bare(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
        return annotation
    return next(a for a in typing.get_args(annotation) if a is not types.NoneType)
