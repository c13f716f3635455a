"""A process that has imported what others need and becomes them: ``KIND SOCKET [LISTENER]``.

A hub takes two seconds to import what it serves with, and nearly all of a suite's hubs are started
for what comes after. Here a fork of one process that never did anything but import takes the place
of each start: with the arguments, the environment, the folder and the standard streams of the one
asked for, in the main thread of a process that has no other, as ``__main__``. Where the start
itself is tested, or the interpreter, processes are started as ever.

Requests come over a socket, one a message: a :class:`Start` in JSON, with four open files: standard
input, output and error, and a socket. The last gets the process's id, and when that has ended its
exit status, a line each. When nobody can ask any more, all that are left are killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

MESSAGE_BYTES: Final = 1 << 18
FILES: Final = 4

KINDS: Final = {
    "hub": (
        *("cloud_hub.cli.app", "cloud_hub.cli.server", "cloud_hub.server", "cloud_hub.cli.main"),
        *("cloud_hub.cli.server_log", "cloud_hub.database.migrate", "tests.named_hub"),
        *("alembic.command", "alembic.op", "sqlalchemy.dialects.postgresql.psycopg"),
        *("sqlalchemy.ext.compiler", "tuf.api.serialization.json"),
        *("cloud_hub.batch.cores", "cloud_hub.batch.duplicates"),
        *("cloud_hub.batch.stores.parquet_store", "encodings.idna", "_strptime", "tomllib"),
        # What a hub loads at the first report and the first round of its loop.
        *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "sqlite_utils", "scipy.optimize"),
        *("scipy.sparse", "scipy.special", "scipy.stats"),
    ),
    # What a delivery of a model trains, converts and publishes with.
    "commands": (
        *("cloud_hub.cli.app", "cloud_hub.cli.main", "cloud_hub.client", "converters.cli.main"),
        *("converters", "pandas", "pyarrow.parquet", "skops.io", "onnx", "onnxruntime"),
        *("sklearn.linear_model", "sklearn.pipeline", "sklearn.preprocessing", "unittest.main"),
    ),
    "device": ("edge_sdk", "edge_sdk.cli.main", "onnxruntime", "tests.e2e.live"),
}
"""Modules that the processes of each kind find loaded."""


@dataclass(frozen=True)
class Start:
    """A process that is asked for: ``python`` followed by ``words``."""

    words: list[str]
    environment: dict[str, str]
    folder: str


@dataclass
class Child:
    """A process that was forked, and the socket that learns of its end."""

    pid: int
    told: socket.socket

    def tell(self, number: int) -> None:
        with contextlib.suppress(OSError):  # whoever asked is away
            self.told.sendall(f"{number}\n".encode())


def asked_for(control: socket.socket, commands: socket.socket | None) -> Start | None:
    """Fork a process for each request until nobody can ask any more.

    Args:
        control: it brings requests, until it ends.
        commands: others connect to it, for a request each.

    Returns:
        In each of these processes what it is to be; None in this one.
    """
    children: dict[int, Child] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        if commands is not None:
            selector.register(commands, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in children:
                    selector.unregister(key.fd)
                    _end(key.fd, children.pop(key.fd))
                    continue
                message, files = _request(control if key.fileobj is control else commands)
                if not message:
                    for child in children.values():
                        os.kill(child.pid, signal.SIGKILL)
                    return None
                *streams, told = files
                child = Child(_forked(), socket.socket(fileno=told))
                if child.pid == 0:
                    for watched, other in children.items():
                        other.told.close()
                        os.close(watched)
                    child.told.close()
                    _take(streams)
                    return Start(**json.loads(message))
                child.tell(child.pid)
                for stream in streams:
                    os.close(stream)
                watched = os.pidfd_open(child.pid)
                children[watched] = child
                selector.register(watched, selectors.EVENT_READ)


def _request(source: socket.socket | None) -> tuple[bytes, list[int]]:
    assert source is not None
    if source.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        connection, _ = source.accept()
        with connection:
            return socket.recv_fds(connection, MESSAGE_BYTES, FILES)[:2]
    return socket.recv_fds(source, MESSAGE_BYTES, FILES)[:2]


def _forked() -> int:
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: something that was imported started them"
    return os.fork()


def _take(streams: list[int]) -> None:
    """Have these files as standard input, output and error, in a session of this process's own."""
    os.setsid()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    # Made anew: what a stream can do was looked up when it was another file.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    errors = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = errors


def _end(watched: int, child: Child) -> None:
    os.close(watched)
    child.tell(os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
    child.told.close()


def become(start: Start) -> None:
    """Be the process that was asked for; its end is that of this interpreter."""
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    option, *words = start.words or ["-"]
    if option == "-m":
        what, *arguments = words
        sys.argv[:] = [option, *arguments]
        sys.path[0] = start.folder
        sys.modules.pop(what, None)  # it was imported under its name, and is to be ``__main__``
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif option in ("-c", "-"):
        code = words.pop(0) if option == "-c" else sys.stdin.read()
        sys.argv[:] = [option, *words]
        sys.path[0] = ""
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), module.__dict__)
    else:
        sys.argv[:] = [option, *words]
        sys.path[0] = str(Path(option).resolve().parent)
        runpy.run_path(option, run_name="__main__")


def main() -> None:
    kind, *numbers = sys.argv[1:]
    for module in KINDS[kind]:
        loaded = importlib.import_module(module)
        if module == "cloud_hub.cli.app":  # a call loads the module of its command alone
            loaded.create_app()
    gc.collect()
    gc.freeze()  # what is there stays shared with the forks
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket(fileno=int(number))) for number in numbers]
        start = asked_for(sockets[0], sockets[1] if len(sockets) == 2 else None)
    if start is not None:
        become(start)


if __name__ == "__main__":
    main()
