"""A short campaign, and what the campaign's judge would not let pass."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.campaigns.swap_kill import ANSWER, EXPECTED, RECORD, Answer, read_log, violations
from tests.waiting import PATIENCE


def answer(version: str, source: str, row: int, of: str | None = None) -> Answer:
    """An answer that says ``version`` and has the numbers of version ``of``."""
    numbers = EXPECTED[of or version, source][row]
    return Answer(version, source, row, tuple(float(x) for x in numbers))


def test_killed_at_random_moments_of_a_swap_no_answer_is_of_two_versions() -> None:
    command = [sys.executable, "-m", "tests.campaigns.swap_kill", "--trials", "12", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 kills" in done.stdout
    assert "wrong answers: 0" in done.stdout


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_whole_versions_are_let_pass(version: str) -> None:
    said = [answer(version, "pack", 0), answer(version, "model", 9)]
    assert violations(said) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (answer("1.0", "pack", 0, of="1.1"), "not what 1.0's pack says"),
        (answer("1.1", "model", 9, of="1.0"), "not what 1.1's model says"),
        (answer("1.0", "model", 3), "expected the pack's answer"),
    ],
)
def test_a_mix_of_versions_is_found(wrong: Answer, message: str) -> None:
    (said,) = violations([answer("1.0", "pack", 1), wrong])
    assert message in said


def test_a_record_that_the_kill_cut_short_is_left_out() -> None:
    record = RECORD.pack(ANSWER, 1, 0, 4, 0.5, 0.25, 0.25)
    trial = read_log(record + record[:5])
    assert trial.answers == [Answer("1.1", "pack", 4, (0.5, 0.25, 0.25))]
