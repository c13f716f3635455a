"""What the mark of a candidate that runs says to the next process."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk.experiments import crash_marker
from edge_sdk.experiments.crash_marker import ENDS, CrashMarker, CrashRecord

ONE, TWO = "a" * 64, "b" * 64
UNENDED: list[object] = []
"""Runs that never come to their end, not even when they are collected."""


def ends(path: Path, manifest: str = ONE, *, first: bool = False) -> CrashRecord | None:
    """A process that ends while ``manifest`` runs; what it had been told."""
    found = CrashMarker(path)
    run = found.running(manifest, first=first)
    run.__enter__()
    UNENDED.append(run)
    return found.crashed


def left(path: Path) -> CrashRecord | None:
    return CrashMarker(path).crashed


def test_a_process_that_ends_in_a_first_run_is_told_at_the_next_start(tmp_path: Path) -> None:
    ends(tmp_path / "m", first=True)
    assert left(tmp_path / "m") == CrashRecord(ONE, True, 1)
    assert left(tmp_path / "m") is None  # that one ended in peace


def test_later_runs_are_told_as_often_as_it_happened_in_a_row(tmp_path: Path) -> None:
    for times in range(1, ENDS + 1):
        ends(tmp_path / "m")
        copy = tmp_path / f"copy-{times}"
        copy.write_bytes((tmp_path / "m").read_bytes())
        found = left(copy)
        assert found == CrashRecord(ONE, False, times)
        assert found.guilty == (times == ENDS)


def test_another_candidate_begins_anew(tmp_path: Path) -> None:
    for _ in range(ENDS - 1):
        ends(tmp_path / "m")
    ends(tmp_path / "m", TWO)
    assert left(tmp_path / "m") == CrashRecord(TWO, False, 1)


def test_a_run_that_ended_or_a_process_that_ends_on_purpose_accuses_nobody(tmp_path: Path) -> None:
    found = CrashMarker(tmp_path / "m")
    with found.running(ONE, first=True):
        pass
    assert left(tmp_path / "m") is None
    found = CrashMarker(tmp_path / "m")
    with found.running(ONE, first=True):
        found.close()
        assert left(tmp_path / "m") is None
    with found.running(ONE, first=True):  # its thread goes on for a moment
        assert left(tmp_path / "m") is None


def test_a_power_cut_accuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends(tmp_path / "m", first=True)
    boot = tmp_path / "boot"
    boot.write_text("another-boot\n")
    monkeypatch.setattr(crash_marker, "BOOT", boot)
    assert left(tmp_path / "m") is None


def test_a_machine_that_names_no_boot_is_taken_to_be_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_marker, "BOOT", tmp_path / "none")
    ends(tmp_path / "m", first=True)
    assert left(tmp_path / "m") == CrashRecord(ONE, True, 1)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0" * 128, b"1", b"1 only two", b"+ x y z w", b"\xff\xfe" * 40, b"1 - aaaa many\n"],
)
def test_a_torn_file_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    monkeypatch.setattr(crash_marker, "BOOT", tmp_path / "none")
    (tmp_path / "m").write_bytes(raw)
    assert left(tmp_path / "m") is None
