"""References to versions, as people write them. Pure.

::

    1.2                       the version
    3                         the newest version whose major number is 3
    @champion  champion       what has this alias
    @latest                   the newest version
    @serving                  what serves everybody
    digits@champion           model and version in one word
    digits/1.2  digits/3
    models:/digits@champion   the same, as MLflow writes it
    models:/digits/1.2

This module is the one place that reads them: routes, pages and the command line call it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cloud_hub.errors import Invalid
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version, check_name

SCHEME: Final = "models:/"
LATEST: Final = "latest"
SERVING: Final = "serving"
RESERVED: Final = frozenset({LATEST, SERVING})
"""Aliases that the hub itself gives; nobody sets them."""

LONGEST: Final = 200
_ALIAS: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MAJOR: Final = re.compile(r"[0-9]{1,6}")
_EXPECTED: Final = "expected a version such as 1.2, a major number, or an alias such as @champion"


@dataclass(frozen=True)
class VersionReference:
    """A model, and one of its versions by number or by alias.

    Attributes:
        model: name of the line; ``None`` where the word is of a version alone.
        version: ``MAJOR.MINOR``, or a major number alone.
        alias: without its ``@``.
    """

    model: str | None
    version: str | None = None
    alias: str | None = None

    @property
    def word(self) -> str | None:
        """The version as one word: ``@champion``, ``1.2``; ``None`` where only a model is named."""
        return self.version if self.alias is None else f"@{self.alias}"


def check_alias(text: str) -> str:
    """Return what may be set as an alias; raises Invalid."""
    if not _ALIAS.fullmatch(text):
        raise Invalid(
            "alias: expected a letter, then up to 62 small letters, digits, - and _, "
            f"got {text!r:.60}"
        )
    if text in RESERVED:
        raise Invalid(f"alias: {text} is the hub's own; choose another name")
    return text


def is_reference(text: str) -> bool:
    """Return whether a word names a model and a version of it."""
    if not (text.startswith(SCHEME) or "@" in text[1:] or "/" in text):
        return False
    try:
        return parse_reference(text).word is not None
    except Invalid:
        return False


def parse_reference(text: str) -> VersionReference:
    """Read a word that names a model, and perhaps a version of it.

    Args:
        text: such as ``digits``, ``digits@champion`` or ``models:/digits/1.2``.

    Raises:
        Invalid: it is none of these.
    """
    if len(text) > LONGEST:
        raise Invalid(f"reference: expected at most {LONGEST} characters, got {len(text)}")
    rest = text.removeprefix(SCHEME)
    model, mark, word = rest.partition("@") if "@" in rest else rest.partition("/")
    try:
        check_name("model", model)
    except ContractError as error:
        raise Invalid(
            f"{error}; write MODEL@ALIAS, MODEL/VERSION or {SCHEME}MODEL/VERSION"
        ) from error
    if not mark:
        return VersionReference(model)
    found = parse_version_word(mark + word if mark == "@" else word)
    return VersionReference(model, found.version, found.alias)


def parse_version_word(text: str, model: str | None = None) -> VersionReference:
    """Read a word that names a version of a model that is known from elsewhere.

    Args:
        text: ``1.2``, ``3``, ``@champion``, ``champion``, or a whole reference.
        model: that a whole reference must agree with.

    Raises:
        Invalid: it is none of these, or of another model.
    """
    if text.startswith(SCHEME) or "/" in text or "@" in text[1:]:
        whole = parse_reference(text)
        if model is not None and whole.model != model:
            raise Invalid(f"version: {text:.80} is of {whole.model}, and this is about {model}")
        return whole
    plain = text.removeprefix("@")
    if _ALIAS.fullmatch(plain):
        return VersionReference(model, alias=plain)
    if plain == text and _MAJOR.fullmatch(text):
        return VersionReference(model, version=str(int(text)))
    try:
        return VersionReference(model, version=str(Version.parse(text)))
    except ContractError as error:
        raise Invalid(f"version: {_EXPECTED}, got {text!r:.60}") from error
