"""Foreign code that tries to get at everything of the hub which trains it.

``steal`` is what a hostile training, state or model does; it prints a line that begins with ``GOT``
for each attempt that succeeds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path


def steal(hub: str, pid: int, port: int) -> None:
    """Try to read, change, reach and stop a hub.

    Args:
        hub: its data folder.
        pid: its process.
        port: on which it listens.
    """
    for attempt in (_files, _writes, _memory, _others, _network, _descriptors, _rights):
        with contextlib.suppress(OSError):
            for loot in attempt(Path(hub), pid, port):
                print(f"GOT {attempt.__name__}: {loot}", flush=True)
    print("the thief was here", flush=True)


def _files(hub: Path, pid: int, port: int) -> Iterator[str]:
    known = ["admin.token", "keys/online.pem", "keys/releases.pem", "keys/offline.pem", "hub.db"]
    there = [str(p.relative_to(hub)) for p in hub.rglob("*") if p.is_file()]
    for name in {*known, *there}:
        with contextlib.suppress(OSError):
            (hub / name).read_bytes()
            yield name
    for path in (Path("/etc/shadow"), Path(f"/proc/{pid}/root") / str(hub)[1:] / "admin.token"):
        with contextlib.suppress(OSError):
            path.read_bytes()
            yield str(path)


def _writes(hub: Path, pid: int, port: int) -> Iterator[str]:
    places = [hub / "keys", hub, hub.parent, Path(__file__).parent, Path("/tmp"), Path("/var/tmp")]
    for folder in places:
        with contextlib.suppress(OSError):
            (folder / f"pwned-{os.getpid()}").write_text("x")
            yield str(folder)
    with contextlib.suppress(OSError):
        os.link(hub / "admin.token", "linked")
        yield "a link to a secret"


def _memory(hub: Path, pid: int, port: int) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if b"HUB_SECRET" in path.read_bytes():
                yield str(path)
    if "HUB_SECRET" in os.environ:
        yield "the environment"
    # The first of processes of its own is the thief's launcher: what can be read of it is looked
    # into by tests/hub/isolation.
    for process in {pid, os.getppid()} - ({1} if _alone() else set()):
        with contextlib.suppress(OSError), Path(f"/proc/{process}/mem").open("rb"):
            yield f"memory of {process}"


def _others(hub: Path, pid: int, port: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        # With processes of its own the number may be that of one of them.
        if str(hub) in Path(f"/proc/{pid}/cmdline").read_text() or not _alone():
            yield "a signal"


def _alone() -> bool:
    return Path("/proc/1/cmdline").read_text().find("cloud_hub") >= 0


def _network(hub: Path, pid: int, port: int) -> Iterator[str]:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        yield "a connection"


def _descriptors(hub: Path, pid: int, port: int) -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(link.readlink())
            if str(hub) in target and not target.endswith("log.txt"):
                yield target


def _rights(hub: Path, pid: int, port: int) -> Iterator[str]:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(39, 0, 0, 0, 0) != 1:
        yield "new privileges"
    if os.getuid() != 0:
        with contextlib.suppress(OSError):
            os.setuid(0)
            yield "root"
    libc.unshare(0x1002_0000)  # a user and a mount namespace, where it would be root
    if libc.umount2(os.fsencode(hub), 2) == 0:
        yield "what was hidden"
    if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0:
        yield "a mount"
    signal.alarm(0)
