"""SIGTERM ends a wait also where it does not interrupt the system call that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

CHILD = """
import signal, sys, threading
from edge_sdk.service.stopping import until_stopped

threading.Thread(target=threading.Event().wait, daemon=True).start()
# As when the signal comes just before the call: the main thread's call is never interrupted.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
with until_stopped() as signals:
    if sys.argv[1] == "sleep":
        print("ready", flush=True)
        signals.sleep()
    for line in signals.lines(sys.stdin.buffer):
        print(line.decode(), flush=True)
print("closed in peace", flush=True)
"""


READS = """
from edge_sdk.service.stopping import until_stopped
def read(place):
    with until_stopped() as signals, open(place, "rb") as rows:
        print(list(signals.lines(rows)))
"""


def child(*arguments: str, stdin: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE)


@pytest.mark.parametrize("what", ["sleep", "rows"])
def test_a_wait_ends_on_sigterm_that_another_thread_takes(what: str) -> None:
    with child(what, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
        assert process.stdout.read() == b"closed in peace\n"


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_lines_are_whole_however_they_come(kind: str, tmp_path: Path) -> None:
    text = b"a\r b\n\n" + b"x" * 200_000 + b"\nlast without an end"
    place = tmp_path / "rows"
    if kind == "file":
        place.write_bytes(text)
    else:
        os.mkfifo(place)
    with subprocess.Popen(
        [sys.executable, "-c", f"{READS}\nread({str(place)!r})"], stdout=subprocess.PIPE
    ) as process:
        if kind == "pipe":
            with place.open("wb", buffering=0) as pipe:
                for at in range(0, len(text), 30_000):
                    pipe.write(text[at : at + 30_000])
        out, _ = process.communicate(timeout=PATIENCE)
    assert out == repr(text.split(b"\n")).encode() + b"\n"
