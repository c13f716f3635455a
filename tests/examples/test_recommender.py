"""The recommender ranks, and interleaving finds the better of its two versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.recommender.__main__ import (
    Cellar,
    interleave,
    main,
    release_both,
    relevant_share,
    verdict,
)
from examples.recommender.bottles import cellars


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Cellar]:
    known, cellar = cellars()
    control, candidate = release_both(tmp_path_factory.mktemp("bottles"), known)
    return control, candidate, cellar


@pytest.fixture(autouse=True)
def same_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sdk.experiments.interleaving.secrets.token_hex", lambda count: "seed")


def test_interleaving_finds_the_version_that_alone_shows_more_of_what_is_relevant(
    made: tuple[Path, Path, Cellar],
) -> None:
    control, candidate, cellar = made
    assert relevant_share(candidate, cellar) > relevant_share(control, cellar) + 0.05
    assert verdict(interleave(control, candidate, cellar, 1_000, 0)).winner == "candidate"
    assert verdict(interleave(candidate, control, cellar, 1_000, 0)).winner == "control"


def test_a_version_against_itself_is_not_decided(made: tuple[Path, Path, Cellar]) -> None:
    found = interleave(made[0], made[0], made[2], 1_000, 0)
    assert found.sessions == 1_000
    assert sum(found.wins.values()) > 500
    assert verdict(found).winner is None


def test_bottles_that_were_learned_from_are_never_recommended() -> None:
    known, cellar = cellars()
    seen = {tuple(row) for row in known.measurements.tolist()}
    assert not any(tuple(row) in seen for row in cellar.measurements.tolist())


def test_the_example_prints_what_its_docstring_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(50) == 0
    text = capsys.readouterr().out
    assert "bottles-1.1 alone:" in text
    assert "1.0 against 1.1: 50 sessions, candidate won" in text
