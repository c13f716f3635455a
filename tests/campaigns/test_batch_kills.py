"""A few kills, and what the judge would not let pass."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from tests.campaigns.batch_kills import COUNT, wrong_answers
from tests.edge.builders import rows, softmax
from tests.waiting import PATIENCE


def test_batch_jobs_that_are_killed_leave_nothing_by_halves_and_nothing_twice() -> None:
    command = [sys.executable, "-m", "tests.campaigns.batch_kills", "--kills", "20", "--seed", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 kills" in done.stdout
    assert done.stdout.endswith("; 0 broken\n")


def answers(changes: float) -> np.ndarray:
    return softmax(rows(COUNT) + np.float32(changes), 0)


def test_the_judge_finds_what_is_twice_missing_or_of_two_states() -> None:
    names = [f"user-{i}" for i in range(COUNT)]
    assert wrong_answers(names, answers(0)) == ""
    assert wrong_answers(names[::-1], answers(3)[::-1]) == ""
    assert "are there twice" in wrong_answers([*names[1:], "user-7"], answers(0))
    assert "expected" in wrong_answers(names[1:], answers(0)[1:])
    half = COUNT // 2
    mixed = np.concatenate([answers(0)[:half], answers(1)[half:]])
    assert wrong_answers(names, mixed) == f"{half} answers are of another state"
    assert "of no state" in wrong_answers(names, np.ones((COUNT, 3)))
