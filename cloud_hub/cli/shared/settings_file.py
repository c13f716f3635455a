"""Settings of ``serve`` in a file: TOML, whose keys are the options without their dashes in front.

An option on the command line passes over a variable, a variable over the file, the file over the
default. A mistake is one sentence with the file and its line; nothing is taken that would mean
something else than it says.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

LARGEST_FILE: Final = 1 << 18
"""Bytes."""

_LINES: Final = "settings_lines"
_PASSWORD: Final = re.compile(r"(://[^/@:\s]*:)[^/@\s]*@")


class InForce(NamedTuple):
    """One setting: its key, its value, and what set it."""

    key: str
    value: Any
    source: str


def keys_of(context: typer.Context) -> dict[str, Any]:
    """Return the options that a file may set, by key."""
    options = [p for p in context.command.params if p.opts[0].startswith("--")]
    return {_key(p): p for p in options if p.name not in ("help", "settings", "as_json")}


def _key(option: Any) -> str:
    return str(option.opts[0].removeprefix("--"))


def take_settings_file(context: typer.Context, file: Path | None) -> Path | None:
    """Have a file set what neither an option nor a variable does.

    Args:
        context: of the command that is parsed; options are looked up in it afterwards.
        file: that was named, if one was.

    Raises:
        typer.BadParameter: the file cannot be read, or one of its lines is wrong.
    """
    if file is None:
        return None
    text = _read(file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise typer.BadParameter(f"{file}: expected TOML; {error}") from error
    lines, options = _lines_of(text), keys_of(context)
    taken: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{file}:{lines.get(key, 1)}"
        if key not in options:
            from cloud_hub.text.spelling import did_you_mean

            known = sorted(options)
            expected = f"{did_you_mean(key, known)}expected one of {', '.join(known)}"
            raise typer.BadParameter(f"{where}: {key:.60}: unknown; {expected}")
        taken[options[key].name] = _checked(context, options[key], value, f"{where}: {key}")
    context.default_map = {**(context.default_map or {}), **taken}
    context.meta[_LINES] = {options[key].name: f"{file}:{lines.get(key, 1)}" for key in values}
    return file


SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="TOML with options that neither this line nor a variable sets: port = 8443.",
        callback=take_settings_file,
        is_eager=True,
    ),
]


def in_force(context: typer.Context) -> list[InForce]:
    """Return every setting of a command that was parsed, and what set it, by key."""
    lines: Mapping[str, str] = context.meta.get(_LINES, {})
    rows = []
    for key, option in sorted(keys_of(context).items()):
        source = context.get_parameter_source(option.name)
        word = source.name if source is not None else "DEFAULT"
        told = {
            "COMMANDLINE": "option",
            "ENVIRONMENT": f"variable {variable_of(context, option)}",
            "DEFAULT_MAP": lines.get(option.name, "file"),
        }.get(word, "default")
        rows.append(InForce(key, _plain(context.params.get(option.name)), told))
    return rows


def variable_of(context: typer.Context, option: Any) -> str:
    """Return the name of the variable that sets an option."""
    return str(option.envvar or f"{context.auto_envvar_prefix}_{option.name.upper()}")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise typer.BadParameter(f"{file}: expected at most {LARGEST_FILE} bytes")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise typer.BadParameter(f"{file}: cannot be read; {reason}") from error


def _lines_of(text: str) -> dict[str, int]:
    """Return the line of each key or table at the top; the first, where a text repeats one."""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"""\s*\[*\s*["']?([A-Za-z0-9_-]+)["']?\s*[=.\]]""", line)
        if found:
            lines.setdefault(found[1], number)
    return lines


def _checked(context: typer.Context, option: Any, value: Any, where: str) -> Any:
    """Return a value as its option takes it from the command line; raises BadParameter."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise typer.BadParameter(f"{where}: expected true or false, got {value!r:.60}")
        return value
    several = option.multiple
    if several != isinstance(value, list):
        expected = 'a list, such as ["A"]' if several else "one value"
        raise typer.BadParameter(f"{where}: expected {expected}, got {value!r:.60}")
    each = value if several else [value]
    wrong = next((v for v in each if isinstance(v, bool) or not isinstance(v, str | int | float)),
                 None)  # fmt: skip
    if wrong is not None:
        raise typer.BadParameter(f"{where}: expected a text or a number, got {wrong!r:.60}")
    texts = [str(v) for v in each]
    words: Any = texts if several else texts[0]
    try:
        option.process_value(context, words)
    except typer.TyperException as error:
        message = getattr(error, "message", str(error)).removeprefix("Value error, ").rstrip(".")
        raise typer.BadParameter(f"{where}: {message}") from error
    return words


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str | os.PathLike):
        return _PASSWORD.sub(r"\1…@", os.fspath(value))
    return value
