"""Workers of a hub without the start of Python: a process that is warm forks them.

Half of the time that a training of 300 rows takes goes into importing scikit-learn, in every worker
again. :class:`WarmStart` stands in for ``subprocess`` in :mod:`cloud_hub.isolation.process_limits`.
What it starts is forked by one process (``python -m tests.hub.warm_workers FD``) that has imported
the libraries, none of the hub's data and no code of users. All else is as in production: the
launcher runs, gives up its rights and forks, with the environment, the files, the limits and the
session that a worker has. Only its last step, ``execv`` of Python, is the module itself.

What depends on a fresh interpreter (other environments, seeds of hashes, what a thief finds in
memory) is started by ``subprocess``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, NoReturn

OWN: Final = frozenset({"HOME", "TMPDIR"})
"""Variables in which workers may differ from the process that forks them."""

LIBRARIES: Final = (
    "cloud_hub.isolation.launcher", "numpy", "onnx", "onnxruntime",
    "pyarrow.parquet", "pyarrow.compute",
    "sklearn.linear_model", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.compose",
    "converters.pipeline", "converters.certification.verify", "edge_sdk.model.session",
)  # fmt: skip
MODULES: Final = (
    "cloud_hub.runs.worker", "cloud_hub.runs.evaluation", "cloud_hub.runs.entry_point",
    "cloud_hub.features.python_source", "cloud_hub.personalise.worker",
)  # fmt: skip
"""Those that are executed: what they import is imported, they are not."""

NO_THREAD: Final = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Without these Arrow and BLAS start threads when they are imported."""

LAUNCHER: Final = ["-P", "-s", "-m", "cloud_hub.isolation.launcher"]
DIE_WITH_PARENT: Final = 1
STATUS: Final = struct.Struct("i")


class WarmProcess:
    """A process that :class:`WarmStart` started: what is used of ``subprocess.Popen``."""

    stdin: IO[bytes] | None = None

    def __init__(self, pid: int, ended: int) -> None:
        """``ended`` is a pipe through which the exit status comes."""
        self.pid, self._ended = pid, ended
        self.returncode: int | None = None
        self._looking = threading.Lock()  # the one who watches, and the one who ends it

    def poll(self) -> int | None:
        """Return the exit status, ``None`` while it runs."""
        with self._looking, contextlib.suppress(BlockingIOError):
            if self.returncode is None:
                self._take(os.read(self._ended, STATUS.size))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raises TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.005)
        return status

    def _take(self, status: bytes) -> None:
        # Nothing where the process that forks ended: so did all that it had forked.
        self.returncode = STATUS.unpack(status)[0] if status else -signal.SIGKILL
        os.close(self._ended)


class WarmStart:
    """Stands in for the module ``subprocess``; one process forks for all that is started."""

    DEVNULL, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._environment: dict[str, str] = {}

    def Popen(  # noqa: N802 - the name of what it stands in for
        self, command: Sequence[str], *, env: dict[str, str], stdin: int, stdout: IO[bytes],
        pass_fds: Sequence[int], **options: Any,
    ) -> Any:  # fmt: skip
        """Start a launcher, by a fork where nothing keeps it from that."""
        if self._socket is None and env["PYTHONHASHSEED"] == "0":
            self._begin(env)
        shared = {name: value for name, value in env.items() if name not in OWN}
        plain = list(command[1:5]) == LAUNCHER and stdin == self.DEVNULL
        if not plain or shared != self._environment or self._socket is None:
            return subprocess.Popen(
                command, env=env, stdin=stdin, stdout=stdout, pass_fds=pass_fds, **options
            )
        read, write = os.pipe()
        wanted = json.dumps({"spec": command[5], "env": env, "report": pass_fds[0]}).encode()
        socket.send_fds(self._socket, [wanted], [stdout.fileno(), pass_fds[0], write])
        os.close(write)
        pid = STATUS.unpack(os.read(read, STATUS.size))[0]
        os.set_blocking(read, False)
        return WarmProcess(pid, read)

    def _begin(self, env: dict[str, str]) -> None:
        self._environment = {name: value for name, value in env.items() if name not in OWN}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", "tests.hub.warm_workers", str(theirs.fileno())],
                env={**self._environment, **NO_THREAD}, pass_fds=[theirs.fileno()],
                stdin=self.DEVNULL, start_new_session=True,
            )  # fmt: skip
        assert self._socket.recv(1), "it ended before it had imported all"

    def close(self) -> None:
        """End the process that forks, and so all that it has forked."""
        if self._socket is not None:
            self._socket.close()
            self._process.wait()


def serve(requests: socket.socket) -> None:
    """Fork a process for each request, until nobody can make any more."""
    for name in (*LIBRARIES, *MODULES):
        importlib.import_module(name)
    for name in MODULES:
        del sys.modules[name]
    assert len([*Path("/proc/self/task").iterdir()]) == 1, (
        "a thread would be missing in what is forked"
    )
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that keep
    requests.send(b"+")
    while True:
        raw, files, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not raw:
            return
        if os.fork() == 0:
            requests.close()
            _keep(json.loads(raw), *files)
        for file in files:
            os.close(file)


def _keep(wanted: dict[str, Any], log: int, report: int, ended: int) -> NoReturn:
    """Fork the launcher, wait for it and pass its exit status on."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    os.setsid()
    child = os.fork()
    if child == 0:
        os.close(ended)
        _launch(wanted, log, report)
    os.close(log)
    os.close(report)
    os.write(ended, STATUS.pack(child))
    _, status = os.waitpid(child, 0)
    os.write(ended, STATUS.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _launch(wanted: dict[str, Any], log: int, report: int) -> NoReturn:
    """Become the launcher."""
    from cloud_hub.isolation import launcher

    os.setsid()
    os.dup2(log, 1)
    os.dup2(log, 2)
    if report != wanted["report"]:
        os.dup2(report, wanted["report"])
        os.close(report)
    os.closerange(3, wanted["report"])
    os.closerange(wanted["report"] + 1, 256)
    os.environ.clear()
    os.environ.update(wanted["env"])
    os.execv = _execute  # type: ignore[assignment]
    _exit_with(lambda: sys.exit(launcher.main(wanted["spec"])))


def _execute(program: str, command: Sequence[str]) -> NoReturn:
    """Run the module of a command, as the interpreter that is executed does."""
    assert list(command[:4]) == [sys.executable, *LAUNCHER[:3]], command
    sys.argv = list(command[4:])
    _exit_with(lambda: runpy.run_module(command[4], run_name="__main__", alter_sys=True))


def _exit_with(what: Any) -> NoReturn:
    """End as Python does with a program that calls this."""
    code: Any = 0
    try:
        what()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
