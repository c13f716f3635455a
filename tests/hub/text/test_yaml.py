"""Strict YAML: what would silently mean something else is refused, with its line."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud_hub.errors import Invalid
from cloud_hub.text.durations import compact_duration
from cloud_hub.text.yaml import read_yaml, write_yaml
from edge_sdk.contract.codec import require


@dataclass(frozen=True)
class Step:
    share: float
    soak_seconds: float = 0.0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, "share: expected up to 1")


@dataclass(frozen=True)
class Wish:
    title: str = "none"
    count: int = 1
    on: bool = False
    steps: tuple[Step, ...] = ()
    only: Step | None = None
    notes: dict[str, str] = field(default_factory=dict)


def read(text: str) -> Wish:
    return read_yaml(Wish, text, "wish.yaml")


def test_an_empty_text_is_all_defaults() -> None:
    for text in ("", "\n", "# nothing\n", "{}"):
        assert read(text) == Wish()


def test_a_whole_file_is_read() -> None:
    text = """
title: all of it   # a comment
steps:
  - {share: 0.5, soak: 10m, names: [a, "b"]}
  - share: 1
only:
  share: 1.0
  soak: 90
notes:
  why: because
"""
    assert read(text) == Wish(
        "all of it",
        steps=(Step(0.5, 600.0, ("a", "b")), Step(1.0)),
        only=Step(1.0, 90.0),
        notes={"why": "because"},
    )


REFUSED = {
    "not YAML": ("{", "wish.yaml:1: expected YAML"),
    "two colons": ("a: b: c", "wish.yaml:1: expected YAML"),
    "a tab": ("steps:\n\t- share: 1", "wish.yaml:2: expected YAML"),
    "a list instead": ("- 1", "wish.yaml:1: expected an object"),
    "a text instead": ("hello", "wish.yaml:1: expected an object"),
    "an unknown key": ("title: x\ntittle: y", "wish.yaml:2: tittle: unknown; did you mean title?"),
    "an unknown key inside": (
        "steps:\n  - share: 1\n  - share: 1\n    shaer: 1",
        "wish.yaml:4: steps[1].shaer: unknown; did you mean share? expected one of ['names', ",
    ),
    "a key that stands twice": ("count: 1\ncount: 1", "wish.yaml:2: count: stands twice"),
    "a key that is no text": ("1: 2", "wish.yaml:1: file: expected texts as keys"),
    "a key that is a list": ("? [a]\n: 1", "expected texts as keys"),
    "an anchor": ("title: &x a", "wish.yaml:1: expected neither anchors nor tags"),
    "a bomb of aliases": ("title: *x", "expected neither anchors nor tags"),
    "a tag that makes objects": ("!!python/object:os.system {}", "neither anchors nor tags"),
    "another document": ("title: a\n---\ntitle: b", "wish.yaml:2: expected YAML"),
    "yes for true": ("on: yes", 'wish.yaml:1: on: expected true or false, got "yes"'),
    "a number for a text": ("\ntitle: 3", "wish.yaml:2: title: expected a string, got 3"),
    "a number for a text, and what to do": (
        "title: 1.10", 'title: expected a string, got 1.10; put quotes around it: "1.10"',
    ),
    "a text for a number": ("count: many", "wish.yaml:1: count: expected an integer"),
    "half a count": ("count: 1.5", "wish.yaml:1: count: expected an integer"),
    "a missing field": ("only:\n  soak: 1s", "wish.yaml:2: only.share: expected a value"),
    "a duration of words": ("only: {share: 1, soak: soon}", "only.soak: expected seconds, or 90s"),
    "a duration with the field's own name": (
        "only: {share: 1, soak_seconds: 3}", "only.soak_seconds: unknown",
    ),
    "a value that means nothing": ("steps:\n- share: 2", "wish.yaml:2: steps[0].share: expected"),
    "not a number": ("only: {share: .nan}", "only.share: expected a number"),
    "very large": ("#" * 300_000, "expected at most"),
    "very deep": ("title: " + "[" * 5_000, "wish.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_means_nothing_is_refused_with_its_line(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        read(text)
    assert message in str(caught.value)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read("tittle: x\ncuont: 1\nsteps:\n- share: 1\n  soak: soon\ntitle: 1.1\n")
    lines = str(caught.value).splitlines()
    assert [line[:17] for line in lines] == [
        "wish.yaml:1: titt", "wish.yaml:2: cuon", "wish.yaml:5: step", "wish.yaml:6: titl"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word", ["no", "on", "2026-01-01", "1:30", "0x10", "1_000", "NULL", "True"]
)
def test_words_that_other_readers_take_for_something_else_stay_texts(word: str) -> None:
    assert read(f"title: {word}").title == word


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    with contextlib.suppress(Invalid):
        read(text)


@given(st.integers(0, 10**8))
def test_a_duration_comes_back_as_it_was_shown(seconds: int) -> None:
    assert read(f"only: {{share: 1, soak: {compact_duration(seconds)}}}").only == Step(
        1.0, float(seconds)
    )


@given(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=60),
    st.integers(-(2**63), 2**63 - 1),
)
@example("\x85", 0)
@example("0E0", 0)
def test_what_is_written_is_read_back(title: str, count: int) -> None:
    text = write_yaml({"title": title, "count": count})
    wish = read(text)
    assert (wish.title, wish.count) == (title, count)
