"""A process that finds its imports loaded is in all else one that was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes.ready import ReadyProcess, ready_commands, run_ready
from tests.waiting import PATIENCE, wait_for

TELLS = """
import json, os, sys, threading
print(json.dumps({
    "words": sys.argv, "folder": os.getcwd(), "name": __name__, "given": sys.stdin.read(),
    "variable": os.environ.get("TOLD"), "home": os.environ.get("HOME"), "pid": os.getpid(),
    "session": os.getsid(0), "threads": threading.active_count(),
    "loaded": "onnxruntime" in sys.modules,
    "files": len(os.listdir("/proc/self/fd")),
}))
print("trouble", file=sys.stderr)
sys.exit(3)
"""


def test_it_has_its_own_words_folder_environment_streams_and_status(tmp_path: Path) -> None:
    done = run_ready("device", ["-c", TELLS, "a", "b"], given=b"x", env={"TOLD": "1"}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "trouble\n")
    told = json.loads(done.stdout)
    assert told.pop("pid") == told.pop("session") != os.getsid(0)
    assert told == {
        "words": ["-c", "a", "b"], "folder": str(tmp_path), "name": "__main__", "given": "x",
        "variable": "1", "home": None, "threads": 1, "loaded": True,
        "files": 4,  # the standard ones, and the folder that is listed
    }  # fmt: skip


def test_its_end_is_told_as_subprocess_tells_it() -> None:
    process = ReadyProcess("device", ["-c", "import time; time.sleep(600)"])
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert (process.wait(), process.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    process.kill()  # it has ended: nobody else is
    assert "ZeroDivisionError" in run_ready("device", ["-c", "1 / 0"]).stderr
    with pytest.raises(subprocess.CalledProcessError):
        run_ready("device", ["-c", "raise SystemExit(2)"], check=True)


def test_nothing_is_left_when_the_process_that_asked_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal; from tests.processes.ready import ReadyProcess\n"
        "child = ReadyProcess('device', ['-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run_ready("device", ["-c", code]).returncode == -signal.SIGKILL
    child = Path("/proc", (tmp_path / "pid").read_text())
    wait_for(lambda: not (child / "exe").exists(), "the end of what it had started")


def test_a_shell_finds_the_programs_and_python(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys; print(sys.argv[1:], __file__)")
    script = (
        "edge --version && echo 'print(1 + 1)' | python - && python script.py a && edge nonsense"
    )
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PATH": f"{ready_commands()}:{os.environ['PATH']}"},
    )  # fmt: skip
    version, two, words = done.stdout.splitlines()
    assert version.startswith("edge ")
    assert (two, words) == ("2", "['a'] script.py")
    assert done.returncode == 2
