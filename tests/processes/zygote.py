"""A process that has imported what others need, and becomes them: ``zygote KIND SOCKET``.

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
        *("sqlalchemy.ext.compiler", "tuf.api.serialization.json", "typer._click.decorators"),
        *("cloud_hub.batch.cores", "cloud_hub.batch.duplicates"),
        *("cloud_hub.batch.stores.parquet_store", "encodings.idna", "_strptime", "tomllib"),
        # What a hub loads at the first report and the first round of its loop.
        *("pyarrow.compute", "pyarrow.csv", "pyarrow.parquet", "sqlite_utils", "scipy.optimize"),
        *("scipy.sparse", "scipy.special", "scipy.stats"),
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


def asked_for(control: socket.socket) -> Start | None:
    """Fork a process for each request until nobody can ask any more.

    Returns:
        In each of these processes what it is to be; None in this one.
    """
    children: dict[int, Child] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in children:
                    selector.unregister(key.fd)
                    _end(key.fd, children.pop(key.fd))
                    continue
                message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, FILES)
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


def _end(watched: int, child: Child) -> None:
    os.close(watched)
    child.tell(os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
    child.told.close()


def become(start: Start) -> None:
    """Be the process that was asked for; its end is that of this interpreter."""
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    option, what, *arguments = start.words
    sys.argv[:] = [option, *arguments]
    if option == "-m":
        sys.path[0] = start.folder
        sys.modules.pop(what, None)  # it was imported under its name, and is to be ``__main__``
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = ""
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), module.__dict__)


def main() -> None:
    kind, number = sys.argv[1:]
    for module in KINDS[kind]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is there stays shared with the forks
    with socket.socket(fileno=int(number)) as control:
        start = asked_for(control)
    if start is not None:
        become(start)


if __name__ == "__main__":
    main()
