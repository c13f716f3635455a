"""A short matrix, and what its judge would not let pass."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.campaigns import kill_matrix
from tests.campaigns.harness import strace
from tests.campaigns.harness.device_cases import NOT_ENROLLED, Expected, why_not
from tests.waiting import PATIENCE

SHORT = ("update", "enrolment", "rotation")
OLD, NEW = "1.0 aaaa", "1.1 bbbb"
WHOLE = {"answers": NEW, "plan": 3, "errors": {}}


@pytest.mark.strace
@pytest.mark.usefixtures("tracing")
def test_devices_that_are_killed_at_system_calls_are_whole_and_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.campaigns.kill_matrix", "--kills", "3"]
    command += ["--case", *SHORT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [name for name in SHORT if why_not(name) is None]
    assert done.stdout.endswith(f"{3 * len(tried)} kills, 0 broken\n")


@pytest.mark.parametrize("offline", [OLD, NEW])
def test_the_old_and_the_new_release_are_let_pass(offline: str) -> None:
    assert Expected(OLD, NEW, 3).wrong({"offline": offline, "online": WHOLE}) == []


@pytest.mark.parametrize(
    ("offline", "online", "message"),
    [
        ("1.1 cccc", WHOLE, "offline: expected one of"),
        ("no release", WHOLE, "offline: expected one of"),
        ("StateError: damaged", WHOLE, "offline: expected one of"),
        (NEW, {**WHOLE, "answers": OLD}, "with the hub: expected"),
        (NEW, {**WHOLE, "plan": 2}, "with the hub: expected"),
        (NEW, {**WHOLE, "errors": {"plan": "expired"}}, "with the hub: expected"),
    ],
)
def test_a_device_that_is_not_whole_is_found(offline: str, online: object, message: str) -> None:
    (said,) = Expected(OLD, NEW, 3).wrong({"offline": offline, "online": online})
    assert said.startswith(message)


def test_only_a_device_that_never_answered_may_be_without_a_release() -> None:
    assert Expected(NOT_ENROLLED, NEW, 3).wrong({"offline": "no release", "online": WHOLE}) == []


LOG = r"""
7  openat(AT_FDCWD<\x2f\x72>, "\x2f\x73\x2f\x61", O_RDONLY|O_CLOEXEC) = 3<\x2f\x73\x2f\x61>
7  openat(AT_FDCWD<\x2f\x72>, "\x2f\x73\x2f\x62", O_WRONLY|O_CREAT, 0666) = 4<\x2f\x73\x2f\x62>
7  write(4<\x2f\x73\x2f\x62>, "\x68\x69", 2 <unfinished ...>
8  fsync(9<\x2f\x74>)                  = 0
7  <... write resumed>)               = 2
7  rename("\x2f\x73\x2f\x62", "\x2f\x73\x2f\x63") = ?
7  +++ killed by SIGKILL +++
"""


def test_the_log_of_strace_is_read_in_order_with_ordinals() -> None:
    calls = list(strace.read_log(LOG))
    assert [(c.pid, c.name, c.ordinal) for c in calls] == [
        (7, "openat", 1), (7, "openat", 2), (7, "write", 1), (8, "fsync", 1), (7, "rename", 1),
    ]  # fmt: skip
    assert calls[2].arguments == '4</s/b>, "hi", 2'
    assert calls[2].result == "2"
    touching = [c.told(Path("/s")) for c in calls if c.touches(Path("/s"))]
    assert touching == ["openat b", "write b", "rename b c"]


def test_kills_are_spread_over_all_calls() -> None:
    calls = [strace.Call(1, "write", i, "", "") for i in range(100)]
    assert [c.ordinal for c in kill_matrix.chosen(calls, 1, 4)] == [0, 25, 50, 75]
    assert len(kill_matrix.chosen(calls, 10, None)) == 10


def test_figures_of_a_case_are_one_line() -> None:
    matrix = kill_matrix.Matrix("update", 200, 2, answered=Counter(before=2))
    assert "2 kills at 200 calls" in kill_matrix.told(matrix, 1.0)
