"""What differs between operating systems: one module knows, and the device runs without it all.

Windows and macOS are played by a Python from which the names that they lack are taken away.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk.system import operating_system
from edge_sdk.system.operating_system import (
    LOCK_FILE,
    FolderInUse,
    lock_folder,
    maxrss_mb,
    peak_memory_mb,
    resident_mb,
)
from tests.edge.builders import make_release
from tests.edge.own_words import own_words
from tests.structure import modules
from tests.waiting import PATIENCE, wait_for

HOME = "edge_sdk.system.operating_system"
LACKING = {"fcntl", "resource", "pwd", "grp", "termios", "msvcrt"}
POSIX_ONLY = re.compile(
    r"os\.(fork|register_at_fork|fchmod|fchown|chown|getuid|geteuid|getgid|sysconf|statvfs|nice"
    r"|sched_\w+|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC|posix_\w+|pread|pwrite|killpg|mkfifo|sync)"
    r"|signal\.(SIGKILL|SIGHUP|SIGUSR\d|SIGALRM|pause|alarm)"
)


def test_no_other_module_of_the_device_calls_what_some_systems_lack() -> None:
    for module in modules("edge_sdk"):
        if module.name == HOME:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute):
                assert not POSIX_ONLY.fullmatch(ast.unparse(node)), (module.name, node.lineno)
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names} & LACKING
                assert not found, (module.name, found)


def test_the_kernel_of_macos_counts_memory_in_bytes() -> None:
    assert maxrss_mb(64 << 20, "darwin") == maxrss_mb(64 << 10, "linux") == 64


def test_memory_is_told_or_said_to_be_unknown(tmp_path: Path) -> None:
    now, most = resident_mb(), peak_memory_mb()
    assert now is None or 10 < now < 100_000
    assert most is not None
    assert 10 < most < 100_000
    assert resident_mb(tmp_path / "nothing") is None or sys.platform == "win32"


def hidden_fcntl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)


@pytest.mark.parametrize("without", ["nothing", "fcntl"])
def test_one_process_has_a_folder_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    if without == "fcntl":
        hidden_fcntl(monkeypatch)
    lock = lock_folder(tmp_path)
    with pytest.raises(FolderInUse):
        lock_folder(tmp_path)
    lock.close()
    lock.close()
    lock_folder(tmp_path).close()
    assert (tmp_path / LOCK_FILE).exists() == (without == "fcntl")


HOLDS = """
import sys, time
from pathlib import Path
if sys.argv[2] == "fcntl":
    sys.modules["fcntl"] = None
from edge_sdk.system.operating_system import lock_folder
lock = lock_folder(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("without", ["nothing", "fcntl"])
def test_a_killed_process_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    if without == "fcntl":
        hidden_fcntl(monkeypatch)
    command = [sys.executable, "-c", HOLDS, str(tmp_path), without]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(FolderInUse):
            lock_folder(tmp_path)
        holder.kill()
    lock_folder(tmp_path).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_is_forked_as_the_lock_is_given_up_does_not_keep_it(tmp_path: Path) -> None:
    lock = lock_folder(tmp_path)
    assert isinstance(lock._handle, int)
    inherited = os.dup(lock._handle)  # what such a child has
    try:
        with pytest.raises(FolderInUse):
            lock_folder(tmp_path)
        lock.close()
        lock_folder(tmp_path).close()
    finally:
        os.close(inherited)


def locked_again(folder: Path) -> bool:
    try:
        lock_folder(folder).close()
    except FolderInUse:
        return False
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("without", ["nothing", "fcntl"])
def test_a_forked_child_does_not_keep_its_parents_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    """Workers of a server held the folder of an owner that was long dead."""
    if without == "fcntl":
        hidden_fcntl(monkeypatch)
    lock = lock_folder(tmp_path)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        signal.alarm(int(PATIENCE))
        signal.pause()
    try:
        with pytest.raises(FolderInUse):
            lock_folder(tmp_path)
        lock.close()
        wait_for(lambda: locked_again(tmp_path), "the child to close its handle")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_folder_that_cannot_be_opened_is_no_lock_that_somebody_has(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        lock_folder(tmp_path / "missing")


ELSEWHERE = """
import os, signal, socket, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import subprocess, tempfile, selectors  # of the standard library: they know their system
for module, names in (
    (os, ("fork", "register_at_fork", "fchmod", "O_DIRECTORY", "getuid", "geteuid", "sysconf",
          "sched_getaffinity", "statvfs", "nice", "pread", "killpg")),
    (socket, ("AF_UNIX", "socketpair")),
    (signal, ("SIGKILL", "SIGHUP", "pause", "alarm")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""
"""Begins a program that runs as on Windows, as far as names of the standard library go."""

OFFLINE = """
from edge_sdk import EdgeDevice
from edge_sdk.update.probe import probe
from edge_sdk.model.release import Release
from edge_sdk.system import operating_system
from pathlib import Path
operating_system._STATUS = Path("nowhere")  # there is no /proc either
result = probe(Release.open(sys.argv[1]))
assert result.memory_mb is None, result
with EdgeDevice.offline(sys.argv[1]) as device:
    print(device.predict([1, 2, 3, 4]).source, device.status()["offline"])
"""


def test_a_release_is_probed_and_answers_where_the_names_are_missing(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE + OFFLINE, str(release.folder)],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.stdout, own_words(done.stderr)) == ("model True\n", "")


def test_a_module_that_the_system_lacks_is_no_package_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from edge_sdk.cli.console import part_of\n"
        "def main(argv=None):\n    import fcntl\n"
        "sys.exit(part_of('hub', 'edge-hub')(main)([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, "pip install" in done.stderr) == (1, False)
    assert done.stderr.startswith("edge-hub: this system's Python has no fcntl")


def test_the_module_says_that_it_is_the_only_one() -> None:
    assert operating_system.__doc__ is not None
    assert Path(__file__).name in operating_system.__doc__
