"""References to versions, read."""

from __future__ import annotations

import pytest

from cloud_hub.aliases.reference import (
    VersionReference,
    check_alias,
    is_reference,
    parse_reference,
    parse_version_word,
)
from cloud_hub.errors import Invalid

WHOLE = {
    "digits": VersionReference("digits"),
    "digits@champion": VersionReference("digits", alias="champion"),
    "digits/1.2": VersionReference("digits", "1.2"),
    "digits/3": VersionReference("digits", "3"),
    "digits/champion": VersionReference("digits", alias="champion"),
    "models:/digits@champion": VersionReference("digits", alias="champion"),
    "models:/digits/1.2": VersionReference("digits", "1.2"),
    "models:/digits/latest": VersionReference("digits", alias="latest"),
}


@pytest.mark.parametrize("text", WHOLE)
def test_a_reference_names_model_and_version(text: str) -> None:
    assert parse_reference(text) == WHOLE[text]
    assert is_reference(text) == (text != "digits")


WORDS = {
    "1.2": "1.2", "3": "3", "@champion": "@champion", "champion": "@champion",
    "models:/m/1.2": "1.2", "m@latest": "@latest",
}  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_a_word_names_a_version_of_a_known_model(text: str) -> None:
    assert parse_version_word(text, "m").word == WORDS[text]


BAD = [
    "",
    "@",
    "m@",
    "m/",
    "models:/",
    "m/../x",
    "m@A",
    "1.x",
    "1.2.3",
    "-1",
    "../m",
    "m@1 2",
    "x" * 300,
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_reference_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(Invalid, match="expected|write"):
        parse_version_word(text, "m") if "/" not in text else parse_reference(text)
    assert not is_reference(text)


def test_a_reference_of_another_model_is_refused() -> None:
    with pytest.raises(Invalid, match="is of other, and this is about m"):
        parse_version_word("other@champion", "m")


@pytest.mark.parametrize("alias", ["latest", "serving", "1", "", "Champion", "a/b", "a" * 64])
def test_what_cannot_be_an_alias_is_refused(alias: str) -> None:
    with pytest.raises(Invalid, match="alias"):
        check_alias(alias)
