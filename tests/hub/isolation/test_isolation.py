"""What a worker can reach on machines of all kinds: measured by real processes with fewer rights.

A machine that lacks something is made of this one: capabilities are dropped, the user is changed,
Landlock is said not to be there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.errors import HubFault
from cloud_hub.isolation import files, landlock, process_limits, syscalls
from cloud_hub.isolation.spec import IsolationReport
from cloud_hub.isolation.workers import Workers
from cloud_hub.settings import WorkerSettings
from tests.hub.runs.retraining import gone, let_read
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="workers are isolated on Linux only"
)
ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user here")

MACHINE = """
import ctypes, os, sys
from pathlib import Path
from cloud_hub.errors import HubFault
from cloud_hub.isolation import files, kernel, mounts
user, namespaces, data = int(sys.argv[1]), sys.argv[2] == "namespaces", Path(sys.argv[3])
if user:
    kernel.unshare(kernel.NEW_MOUNTS)
    mounts.make_private()
    mounts.open_ways([*files.python_files(), data, Path.cwd()], (user, user))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
elif not namespaces:
    ctypes.CDLL(None).prctl(24, 21)  # CAP_SYS_ADMIN, as in a container
os.execv(sys.executable, [sys.executable, "-c", sys.argv[4], str(data)])
"""

TRY = """
import sys
from pathlib import Path
from cloud_hub.isolation import workers
class Tried(workers.Workers):
    launcher = ("-c", LAUNCHER)
print(Tried(Path(sys.argv[1])).isolation.to_json().decode())
"""

LAUNCHER = """
import errno, sys
from cloud_hub.isolation import kernel, landlock, launcher
def not_permitted(flags):
    raise OSError(errno.EPERM, "not permitted")
if not NAMESPACES:
    kernel.unshare = not_permitted
if not LANDLOCKED:
    landlock.version = lambda: 0
sys.exit(launcher.main(sys.argv[1]))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path)


def make_data(place: Path) -> Path:
    """Make a hub's data with two secrets."""
    folder = place / "data"
    (folder / "keys").mkdir(parents=True)
    for name in ("admin.token", "keys/online.pem"):
        (folder / name).write_text("secret")
        (folder / name).chmod(0o600)
    return folder


def tried(data: Path, user: int, namespaces: bool, landlocked: bool) -> IsolationReport:
    launcher = LAUNCHER.replace("NAMESPACES", str(namespaces or user == 0))
    launcher = launcher.replace("LANDLOCKED", str(landlocked))
    code = TRY.replace("LAUNCHER", repr(launcher))
    return IsolationReport.from_json(on_machine(data, user, namespaces, code).encode())


def on_machine(data: Path, user: int, namespaces: bool, code: str, **variables: str) -> str:
    """Run code as a hub on a machine with fewer rights; return what it prints."""
    if user:
        for path in (data, *data.rglob("*")):
            os.chown(path, user, user)
    words = [str(user), "namespaces" if namespaces else "none", str(data), code]
    repository = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(repository), **variables}
    done = subprocess.run(
        [sys.executable, "-c", MACHINE, *words], cwd=repository, env=environment,
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


MACHINES = {
    "root on a whole machine": (0, True, True, True),
    "root without Landlock": (0, True, False, True),
    "root in a container": (0, False, True, True),
    "root in a container without Landlock, whose Python nobody else reaches":
        (0, False, False, False),
    "a user": (4711, True, True, True),
    "a user without Landlock": (4711, True, False, True),
    "a user who may not make namespaces": (4711, False, True, True),
    "a user with nothing": (4711, False, False, False),
}  # fmt: skip


@ROOT_ONLY
@pytest.mark.parametrize("case", MACHINES)
def test_secrets_are_out_of_reach_or_it_is_said_that_they_are_not(data: Path, case: str) -> None:
    user, namespaces, landlocked, protects = MACHINES[case]
    if (
        case.endswith("nobody else reaches")
        and files.blocked(Path(sys.executable).resolve(), (65_534, 65_534)) is None
    ):
        pytest.skip("any user can run this Python, so the worker becomes another one")
    found = tried(data, user, namespaces, landlocked)
    assert found.protects is protects, found
    if not protects:
        assert {"admin.token", "online.pem"} <= set(found.exposed)
    assert found.capabilities == 0
    assert found.filtered is syscalls.available()
    assert found.processes is namespaces
    assert found.network == ("none" if namespaces else "no TCP" if landlocked else "open")
    assert bool(found.landlock) is landlocked


STARTED = """
import sys
from pathlib import Path
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.workers import Workers
from cloud_hub.settings import WorkerSettings
data = Path(sys.argv[1])
workers = Workers(data, WorkerSettings())
work, log = workers.new_folder(), data / "log.txt"
(work / "told").write_text("given")
told = ["-n1", "-r1", "print(open('told').read(), file=open('answer', 'w'))"]
limits = ProcessLimits(60, 1_024)
workers.start("timeit", told, work, log, limits, foreign=True).wait()
answer = work / "answer"
print(answer.read_text().strip() if answer.exists() else log.read_text())
print(workers.isolation.protects, work)
workers.remove(work)
"""


@ROOT_ONLY
@pytest.mark.parametrize("case", ["root on a whole machine", "root in a container", "a user"])
def test_a_hub_in_shared_memory_starts_workers_that_reach_their_folder_and_no_secret(
    case: str,
) -> None:
    user, namespaces, _, _ = MACHINES[case]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        data = make_data(folder)
        if user:
            os.chown(folder, user, user)
        said = on_machine(data, user, namespaces, STARTED, TMPDIR=name)
        assert said.startswith(f"given\nTrue {name}/"), said


SPY = """
from pathlib import Path
first, secrets = Path("/proc/1"), map(bytes.fromhex, Path("secrets").read_text().split())
print("launcher" in (first / "cmdline").read_text())
try:
    held = [(first / name).read_bytes() for name in ("environ", "cmdline")]
    held += [str(link.readlink()).encode() for link in (first / "fd").iterdir()]
    with (first / "mem").open("rb") as memory:
        for line in (first / "maps").read_text().splitlines():
            span, rights, *_ = line.split()
            start, stop = (int(part, 16) for part in span.split("-"))
            if rights.startswith("rw"):
                memory.seek(start)
                held.append(memory.read(stop - start))
except PermissionError:
    print("closed")
else:
    held = b" ".join(held)
    print("open", b"hub_secret_is_not" in held, *[secret in held for secret in secrets])
"""

SPIED = """
import sys
from pathlib import Path
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.workers import Workers
from cloud_hub.settings import WorkerSettings
data = Path(sys.argv[1])
workers = Workers(data, WorkerSettings(environment=("SHOWN",)))
work, log = workers.new_folder(), data / "log.txt"
(work / "spy.py").write_text(SOURCE)
secrets = [(data / "admin.token").read_bytes(), b"of-the-environment"]
(work / "secrets").write_text(" ".join(secret.hex() for secret in secrets))
spy = ["-n1", "-r1", "exec(open('spy.py').read(), {})"]
process = workers.start("timeit", spy, work, log, ProcessLimits(60, 1_024), foreign=True)
process.wait()
workers.remove(work)
print(log.read_text())
"""


@ROOT_ONLY
@pytest.mark.parametrize(("user", "seen"), [(0, "closed"), (4711, "open True False False")])
def test_a_worker_learns_no_secret_from_its_launcher(data: Path, user: int, seen: str) -> None:
    """The first process of its namespace is a copy of what started it, which knew the hub's path.

    It belongs to another user where the hub is root; else all of it can be read.
    """
    (data / "admin.token").write_text("of-the-token")
    printed = on_machine(
        data, user, True, SPIED.replace("SOURCE", repr(SPY)),
        HUB_SECRET="of-the-environment", SHOWN="hub_secret_is_not",
    )  # fmt: skip
    assert printed.split("\n")[:2] == ["True", seen]


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_a_path_that_is_not_below_an_allowed_one_is_refused(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from cloud_hub.isolation import kernel, landlock
here = Path({str(tmp_path)!r})
for name in ("reads", "writes", "names"):
    (here / name).mkdir()
    (here / name / "file").write_text("x")
(here / "other").write_text("x")
kernel.no_new_privileges()
landlock.restrict([here / "reads"], [here / "names"], [here / "writes"], network=False)
def may(step):
    try:
        step()
    except OSError:
        return False
    return True
print(
    may((here / "reads/file").read_text), may(lambda: (here / "reads/new").touch()),
    may((here / "writes/file").unlink), may(lambda: os.listdir(here / "names")),
    may((here / "names/file").read_text), may((here / "other").read_text),
    may(lambda: os.truncate(here / "other", 0)),
)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.stdout.split() == ["True", "False", "True", "True", "False", "False", "False"], done


def test_a_hub_that_isolates_nothing_says_so_when_it_starts(
    data: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trusting, then in ((False, "is refused; see docs/PIPELINES.md"), (True, "nevertheless")):
        workers = Workers(data, WorkerSettings(trust_pipelines=trusting))
        found = IsolationReport(user="me", exposed=("admin.token",))
        monkeypatch.setitem(workers.__dict__, "isolation", found)
        assert workers.takes_foreign() is trusting
        with caplog.at_level("WARNING"):
            workers.check()
        assert "EXPOSED: admin.token" in caplog.text
        assert then in caplog.text


def test_a_machine_on_which_no_worker_starts_serves_devices_all_the_same(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Workers):
        launcher = ("-c", "import os; os.abort()")  # as a filter of the service manager ends it

    assert not Broken(data).check().protects
    assert "trainings cannot be started on this machine: it ended before" in caplog.text
    if os.getuid() == 0:
        with pytest.raises(HubFault, match="trainings cannot be started"):
            Broken(data, WorkerSettings(user="nobody")).check()


names = st.sampled_from("abc")
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/".join(parts))


@given(st.sets(paths, min_size=1), paths, st.lists(paths, min_size=1))
def test_nothing_below_the_hidden_folder_is_ever_readable(
    tmp_path_factory: pytest.TempPathFactory, there: set[str], hidden: str, wanted: list[str]
) -> None:
    top = tmp_path_factory.mktemp("tree")
    for name in {*there, hidden}:
        (top / name).mkdir(parents=True, exist_ok=True)
    reads, listed = files.without([top / name for name in wanted], top / hidden)
    secret = top / hidden / "key"
    assert not any(path in (secret, *secret.parents) for path in reads)
    for path in (top / name for name in there):
        asked = any(top / name in (path, *path.parents) for name in wanted)
        inside = (top / hidden) in (path, *path.parents)
        on_the_way = path in (top / hidden).parents
        if asked and not inside and not on_the_way:
            assert any(read in (path, *path.parents) for read in reads)
    assert all(path in (top / hidden).parents for path in listed)


def test_a_folder_as_deep_or_as_full_as_a_hostile_worker_likes_is_measured_and_removed(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_limits, "FILES", 50)
    work = Workers(data).new_folder()
    start = os.open(".", os.O_RDONLY)
    try:
        os.chdir(work)
        for _ in range(2_500):
            os.mkdir("d")  # noqa: PTH102 - the path is longer than the system takes
            os.chdir("d")
    finally:
        os.chdir(start)
        os.close(start)
    assert process_limits.folder_bytes(work) == process_limits.ENDLESS
    Workers.remove(work)
    assert not work.exists()
    many = Workers(data).new_folder()
    for number in range(51):
        (many / str(number)).touch()
    assert process_limits.folder_bytes(many) == process_limits.ENDLESS
    (many / "50").unlink()
    (many / "0").write_bytes(b"x" * 5_000)
    assert 5_000 <= process_limits.folder_bytes(many) < 100_000
    Workers.remove(many)


@pytest.mark.skipif(not syscalls.available(), reason="libseccomp is not installed")
def test_calls_that_no_training_needs_are_refused_and_processes_start_as_before() -> None:
    code = """
import ctypes, errno, os, subprocess, sys, threading
from cloud_hub.isolation import kernel, syscalls
kernel.no_new_privileges()
syscalls.refuse()
libc = ctypes.CDLL(None, use_errno=True)
refused = []
for call in (lambda: libc.unshare(0x10000000), lambda: libc.ptrace(0, 0, 0, 0),
             lambda: libc.mount(b"none", b"/mnt", b"tmpfs", 0, None), lambda: libc.chroot(b"/")):
    refused.append(call() == -1 and ctypes.get_errno() == errno.EPERM)
thread = threading.Thread(target=lambda: refused.append(True))
thread.start()
thread.join()
refused.append(subprocess.run(["true"]).returncode == 0)
print(all(refused), len(refused))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.stdout.split() == ["True", "6"], done


def test_a_worker_ends_with_a_hub_that_is_killed(data: Path, tmp_path: Path) -> None:
    """Also one that has left the group and the session of its launcher."""
    (tmp_path / "code").mkdir()
    sleeper = "import os, time; os.setsid(); print('asleep', flush=True); time.sleep(3_600)"
    (tmp_path / "code" / "sleeper.py").write_text(sleeper)
    let_read(tmp_path / "code")
    code = f"""
import os
from pathlib import Path
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.process_tree import family
from cloud_hub.isolation.workers import Workers
from tests.waiting import wait_for
workers, log = Workers(Path({str(data)!r})), Path({str(tmp_path / "log")!r})
work, limits = workers.new_folder(), ProcessLimits(3_600, 2_000)
code = Path({str(tmp_path / "code")!r})
process = workers.start("sleeper", [], work, log, limits, reads=[code], foreign=False)
wait_for(lambda: "asleep" in log.read_text() or not process.running(), "the worker")
assert process.running(), process.ended()
workers.remove(work)
print(*family(process._process.pid), flush=True)
os.kill(os.getpid(), 9)
"""
    path = os.pathsep.join([str(Path(__file__).parents[3]), str(tmp_path / "code")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    everybody = [int(word) for word in done.stdout.split()]
    assert len(everybody) >= 2, done.stderr
    wait_for(lambda: all(map(gone, everybody)), "the end of the worker")
