"""What only the reader in C can get wrong: bytes that are no text, threads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.edge.builders import make_release
from tests.edge.packs.builders import random_keys, value_release, write
from tests.edge.packs.freeze import FROZEN
from tests.packs_elsewhere.readers import NO_NAME, PackReader, compiled
from tests.waiting import PATIENCE

pytestmark = pytest.mark.c
NO_TEXTS = [
    *(b"", b"\xff", b"\x80", b"\xc3", b"a\xe2\x82", b"\xc0\x80", b"\xe0\x80\x80"),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"\xc3("),
]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    reader = PackReader.of("c", tmp_path)
    answers = reader.predictions(FROZEN / "labels.pack", "demo", NO_TEXTS, 0)
    assert [answer["entry"] for answer in answers] == [NO_NAME] * len(NO_TEXTS)
    found = reader.features(FROZEN / "features.pack", NO_TEXTS)
    assert [answer["entry"] for answer in found] == [NO_NAME] * len(NO_TEXTS)
    reader.close()


def test_eight_threads_find_every_entry_from_the_first_touch_on(tmp_path: Path) -> None:
    keys, release = random_keys(20_000), value_release(make_release(tmp_path))
    write(tmp_path / "pack", release, keys, y=np.zeros((20_000, 1), np.float32))
    command = [compiled("threads", tmp_path), str(tmp_path / "pack")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
