"""Code of users on a node: one isolated process for the items of one work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.engine import isolated
from cloud_hub.engine.engine import IsolatedLimits
from cloud_hub.engine.isolated import compute_isolated
from cloud_hub.engine.kept_process import KeptProcess
from cloud_hub.engine.node_folder import node_workers
from cloud_hub.errors import HubFault
from tests.waiting import wait_for

COUNT = "cloud_hub.engine.probe:count"
LIMITS = IsolatedLimits(seconds=120, memory_mb=2_000)


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """No process is kept from another test, nor for one."""
    isolated.end_kept()
    yield
    isolated.end_kept()


def count(common: bytes, item: bytes = b"x", limits: IsolatedLimits = LIMITS) -> int:
    return int(compute_isolated(COUNT, common, item, limits))


def test_items_of_one_work_have_one_process_and_those_of_another_a_new_one() -> None:
    assert [count(b"a") for _ in range(3)] == [1, 2, 3]
    assert count(b"b") == 1
    assert count(b"a") == 1  # one work after the other is computed: the first process has ended


def test_a_process_whose_item_failed_is_not_used_again() -> None:
    assert count(b"a") == 1
    with pytest.raises(HubFault, match="ValueError: it was asked to"):
        count(b"a", b"fail")
    assert count(b"a") == 1


def test_a_process_that_was_killed_between_two_items_is_replaced() -> None:
    assert count(b"a") == 1
    [process] = isolated._kept.values()
    os.kill(process._process._process.pid, signal.SIGKILL)
    wait_for(lambda: not process.running(), "the end of the process")
    assert count(b"a") == 1


def test_each_item_has_the_time_of_the_limits() -> None:
    process = KeptProcess(
        node_workers(), "cloud_hub.engine.probe:wait", b"", IsolatedLimits(30, 2_000)
    )
    try:
        assert process.compute(b"0") == b"0"
        process._limits = IsolatedLimits(0.2, 2_000)
        with pytest.raises(HubFault, match=r"took longer than the 0\.2 s that the policy allows"):
            process.compute(b"60")
    finally:
        process.close()


def test_folders_of_a_node_that_was_killed_are_removed_by_the_next_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # the user of workers reaches it
        code = (
            "import os; from tests.hub.engine.test_isolated import count; count(b'a');"
            "os.kill(os.getpid(), 9)"
        )
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": name})
        assert done.returncode == -signal.SIGKILL
        left = set(Path(name).iterdir())
        assert len(left) == 2
        monkeypatch.setattr(tempfile, "tempdir", name)
        assert count(b"b") == 1
        assert not left & set(Path(name).iterdir())
        isolated.end_kept()
        assert not [*Path(name).iterdir()]
