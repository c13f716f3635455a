"""The campaign's files agree in the runtime that is installed here; a wrong file is found."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from tests.campaigns import tree_runtimes
from tests.waiting import PATIENCE


def test_random_trees_agree_in_the_runtime_at_hand():
    assert tree_runtimes.main(["--trials", "40", "--versions"]) == 0


@pytest.mark.parametrize("kind", ["classic", "compact"])
def test_a_file_that_answers_wrongly_is_found(kind, tmp_path):
    made = next(file for file in tree_runtimes.files(1) if file[0] == kind)
    path = tmp_path / "files.pickle"
    path.write_bytes(pickle.dumps([(*made[:3], made[3] + 1)]))
    asked = [sys.executable, "-c", tree_runtimes.ASK, str(path), "1", "21"]
    assert subprocess.run(asked, check=False, timeout=PATIENCE).returncode == 1
