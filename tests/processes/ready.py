"""Python processes that find what they import loaded: forks of a zygote, one of each kind.

They stand in for ``subprocess.Popen([sys.executable, *words])`` and ``subprocess.run`` where a test
is about what a process does, and not about how it starts. See :mod:`tests.processes.zygote`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final, Literal

from tests.processes.zygote import Start
from tests.waiting import PATIENCE

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]

ONE_THREAD: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Variables by which libraries start none while they are imported: a fork would be without it."""

Kind = Literal["hub", "device", "commands"]
Stream = int | IO[Any] | None


class ReadyProcess:
    """A process of Python, as :class:`subprocess.Popen` has one.

    Args:
        kind: what it finds imported.
        words: ``-m MODULE ARGUMENTS…`` or ``-c CODE ARGUMENTS…``.
        stdin: as for :class:`subprocess.Popen`, without ``PIPE``; so are the next two.
        stdout: its standard output.
        stderr: where it complains.
        env: its environment. What Python and the libraries read of it while they start is not
            looked at: ``PYTHON…``, ``OMP_NUM_THREADS``.
        cwd: its folder.
    """

    def __init__(
        self,
        kind: Kind,
        words: Sequence[str | Path],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.args = [str(word) for word in words]
        self.returncode: int | None = None
        start = Start(self.args, dict(os.environ if env is None else env), str(cwd or Path.cwd()))
        self._ended, telling = socket.socketpair()
        with contextlib.ExitStack() as opened:
            opened.enter_context(telling)
            files = [_file(s, at, opened) for at, s in enumerate((stdin, stdout, stderr))]
            message = json.dumps(asdict(start)).encode()
            socket.send_fds(_zygote(kind), [message], [*files, telling.fileno()])
        self._answers = self._ended.makefile()
        told = self._answers.readline()
        assert told, f"the zygote of kind {kind} has ended"
        self.pid = int(told)

    def poll(self) -> int | None:
        return self._status(0)

    def wait(self, timeout: float = PATIENCE) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def _status(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._ended.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends at this moment
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_ready(
    kind: Kind,
    words: Sequence[str | Path],
    *,
    check: bool = False,
    given: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, as ``subprocess.run`` does with ``capture_output`` and ``text``.

    Args:
        kind: what it finds imported.
        words: as for :class:`ReadyProcess`.
        check: raise where the status is not 0.
        given: its standard input.
        env: as for :class:`ReadyProcess`.
        cwd: its folder.

    Raises:
        CalledProcessError: with ``check``, it ended with another status than 0.
    """
    with (
        tempfile.TemporaryFile() as read,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        read.write(given)
        read.seek(0)
        process = ReadyProcess(kind, words, stdin=read, stdout=out, stderr=err, env=env, cwd=cwd)
        status = process.wait()
        printed = [file.read() for file in (out, err) if file.seek(0) == 0]
    done = subprocess.CompletedProcess(process.args, status, *printed)
    if check:
        done.check_returncode()
    return done


def _file(stream: Stream, place: int, opened: contextlib.ExitStack) -> int:
    if stream is None:
        return place
    if stream == subprocess.DEVNULL:
        return opened.enter_context(open(os.devnull, "r+b")).fileno()  # noqa: PTH123
    return stream if isinstance(stream, int) else stream.fileno()


@functools.cache
def _zygote(kind: Kind, commands: int | None = None) -> socket.socket:
    """The socket of a zygote, which ends when that is closed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        passed = [its.fileno(), *([] if commands is None else [commands])]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.processes.zygote", kind, *map(str, passed)],
            stdin=subprocess.DEVNULL, pass_fds=passed, start_new_session=True, cwd=ROOT,
            env=os.environ | ONE_THREAD,
        )  # fmt: skip

    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:  # and no fork of this process
            ours.shutdown(socket.SHUT_RDWR)  # though a fork may have it open, too
            ours.close()
            process.wait(PATIENCE)

    atexit.register(end)
    return ours


COMMANDS: Final = {
    "edge": ("-m", "edge_sdk.cli.main"),
    "edge-convert": ("-m", "converters.cli.main"),
    "edge-hub": ("-m", "cloud_hub.cli.main"),
    "python": (),
}


@functools.cache
def ready_commands() -> Path:
    """A folder for ``PATH`` with the programs of :data:`COMMANDS`; each is a fork of a zygote."""
    folder = Path(tempfile.mkdtemp(prefix="ready-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(16)
        _zygote("commands", listener.fileno())
    for name, words in COMMANDS.items():
        script = (HERE / "command.txt").read_text().replace("SOCKET", str(folder / "socket"))
        script = script.replace("WORDS", repr([*words]))
        (folder / name).write_text(f"#!{Path(sys.executable).resolve()} -IS\n{script}")
        (folder / name).chmod(0o755)
    return folder
