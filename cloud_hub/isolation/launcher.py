"""Gives up every right that a worker does not need, checks that, and executes it.

``python -P -m cloud_hub.isolation.launcher SPEC`` is what the hub starts. It forks: the child gives
up its rights for good and becomes the worker, the parent waits for it, ends what it left behind and
ends with its status. Nothing that others wrote is read before the command is executed, and nothing
is executed before the rights are gone. No step is taken for granted: in the end the child tries to
open the hub's secrets, and reports what it found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from cloud_hub.isolation import files, kernel, landlock, mounts, syscalls
from cloud_hub.isolation.process_tree import family
from cloud_hub.isolation.spec import IsolationReport, IsolationSpec

REFUSED: Final = 78
"""Exit status of a launcher that did not execute the command."""

BY_SIGNAL: Final = 128
"""Added to the number of a signal in exit statuses, as shells do."""


def main(argument: str) -> int:
    """Run the command of a spec; return its exit status."""
    spec = IsolationSpec.from_json(argument.encode())
    if sys.platform != "linux":
        return _execute_as_we_are(spec)
    kernel.end_with_parent()
    kernel.adopt_orphans()
    kernel.limit(spec.file_bytes)
    kernel.volunteer_for_oom_kill()
    found = _namespaces(spec, IsolationReport(network="allowed" if spec.network else "open"))
    child = os.fork()
    if child == 0:
        _become(spec, found)
    os.close(spec.report)
    return _wait(child, alone=found.processes)


def _namespaces(spec: IsolationSpec, found: IsolationReport) -> IsolationReport:
    """Separate mounts, processes and the network, as far as this user may."""
    uid, gid = os.getuid(), os.getgid()
    flags = kernel.NEW_MOUNTS | kernel.NEW_PIDS | kernel.NEW_IPC
    flags |= 0 if spec.network else kernel.NEW_NETWORK
    try:
        # A user who is not root gets them within a user namespace, where the system allows those.
        kernel.unshare(flags | (kernel.NEW_USER if uid else 0))
        if uid:
            kernel.map_user(uid, gid)
        mounts.make_private()
    except OSError as error:
        return _noted(found, f"no namespaces: {error.strerror}")
    if not spec.network:
        found = replace(found, network="none")
        found = _tried(found, "loopback", kernel.raise_loopback)
    return replace(found, processes=True)


def _become(spec: IsolationSpec, found: IsolationReport) -> None:
    """Give up the rights, and become the command; never returns."""
    try:
        found = _confine(spec, found)
        found = replace(found, exposed=tuple(_exposed(spec)))
        # Last: one of the trials is a call that is refused from here on.
        found = _filtered(found)
        if found.exposed and spec.required:
            found = replace(found, refused="nothing here keeps foreign code from the hub's secrets")
    except BaseException as error:  # a worker that is half confined must not start
        found = replace(found, refused=f"{type(error).__name__}: {error}")
    _send(spec, found)
    if found.refused:
        print(f"not started: {found.refused}", flush=True)
        os._exit(REFUSED)
    if not spec.command:
        os._exit(0)
    # The first process of a namespace ignores the signals by which others end (abort, say): it
    # waits, with no more rights than the worker has.
    if found.processes and (child := os.fork()) != 0:
        os._exit(_waited(child))
    try:
        os.execv(spec.command[0], spec.command)
    except OSError as error:
        print(f"{spec.command[0]}: {error.strerror}", flush=True)
        os._exit(REFUSED)


def _confine(spec: IsolationSpec, found: IsolationReport) -> IsolationReport:
    work, hidden = Path(spec.work), Path(spec.hidden)
    needed = [*files.python_files(), *map(Path, spec.reads), work]
    if found.processes:
        found = _own_view(spec, found, needed)
    fresh_proc = not any(note.startswith("own /proc") for note in found.notes)
    reads, names = files.without(needed, hidden)
    found = _change_user(spec, found)
    _check_readable(spec, found.user)
    kernel.drop_rights()
    os.umask(0o077)
    os.chdir(work)
    kernel.no_new_privileges()
    kernel.end_with_parent()  # the change of user has cleared it
    found = replace(found, capabilities=kernel.capabilities(), landlock=landlock.version())
    if not found.landlock:
        return _noted(found, "no Landlock: the kernel has none")
    whole = found.processes and fresh_proc
    proc = ["/proc"] if whole else ["/proc/self", *(f"/proc/{name}" for name in files.PROC)]
    reads += [Path(name) for name in (*files.SYSTEM, *proc)]
    # Where shared memory is everybody's and holds the hub's data, a worker does without it.
    shared = files.without([mounts.SHARED], hidden)[0]
    writes = [work, *map(Path, files.DEVICES), *(path for path in shared if path == mounts.SHARED)]
    landlock.restrict(reads, names, writes, network=spec.network)
    if found.network == "open" and found.landlock >= 4:
        found = replace(found, network="no TCP")
    return found


def _filtered(found: IsolationReport) -> IsolationReport:
    before = len(found.notes)
    found = _tried(found, "system calls", syscalls.refuse)
    return replace(found, filtered=len(found.notes) == before)


def _own_view(spec: IsolationSpec, found: IsolationReport, needed: list[Path]) -> IsolationReport:
    """Arrange the mounts of the child; what the machine does not allow is noted."""
    found = _tried(found, "own /proc", mounts.own_processes)
    if spec.user is not None:
        user = spec.user
        found = _tried(found, "ways to Python", lambda: mounts.open_ways(needed, user))
    found = _tried(found, "own shared memory", lambda: mounts.own_shared_memory(needed))
    if not spec.network:
        found = _tried(found, "hiding sockets", lambda: mounts.hide_sockets(needed))
    before = len(found.notes)
    found = _tried(found, "hiding the hub's data", lambda: mounts.hide(Path(spec.hidden)))
    return replace(found, hidden=len(found.notes) == before)


def _change_user(spec: IsolationSpec, found: IsolationReport) -> IsolationReport:
    own = _name_of(os.getuid())
    if spec.user is None:
        return replace(found, user=own)
    uid, gid = spec.user
    ways = [*files.python_files(), Path(sys.executable), Path(spec.work)]
    closed = next((f for p in ways if (f := files.blocked(p.resolve(), (uid, gid)))), None)
    if closed is not None:
        reason = f"user {spec.user_name} cannot reach this Python: {closed} keeps it out"
        if spec.insist:
            raise PermissionError(reason)
        # Without the rights of root, and with Landlock's rules; what that leaves is checked below.
        return _noted(replace(found, user=f"{own} without its rights"), reason)
    _give(Path(spec.work), uid, gid)
    kernel.limit_processes()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    return replace(found, user=spec.user_name)


def _check_readable(spec: IsolationSpec, user: str) -> None:
    """Raise PermissionError where the user may not read what the operator means it to read."""
    for name in spec.reads:
        if Path(name).exists() and not os.access(name, os.R_OK | (Path(name).is_dir() and os.X_OK)):
            raise PermissionError(
                f"{name}: user {user} may not read it; give others the right (chmod o+rX), or name "
                "a user who may (edge-hub serve --worker-user)"
            )


def _give(work: Path, uid: int, gid: int) -> None:
    """Let a user own the folder and its files, all of which the hub wrote."""
    os.chown(work, uid, gid)
    for path in work.rglob("*"):
        os.chown(path, uid, gid, follow_symlinks=False)


def _exposed(spec: IsolationSpec) -> list[str]:
    """Try to get at what a worker must not have; return what worked."""
    found = []
    for name in spec.secrets:
        try:
            os.close(os.open(name, os.O_RDONLY))
            found.append(Path(name).name)
        except OSError:
            continue
    trial = Path(spec.hidden) / f".trial-{os.getpid()}"
    try:
        hidden_here = not any(Path(spec.hidden).iterdir())
    except OSError:
        hidden_here = True
    try:
        trial.touch()
        trial.unlink()
        if not hidden_here:
            found.append("its folder can be written")
    except OSError:
        pass
    if kernel.reads_memory_of(spec.hub):
        found.append("its memory")
    return found


def _wait(child: int, *, alone: bool) -> int:
    """Wait for the worker, and end what it left behind; return its exit status."""
    ended = _waited(child)
    # With processes of its own everything has ended with the first one, and /proc shows others.
    others = [] if alone else [pid for pid in family(os.getpid()) if pid != os.getpid()]
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if ended > BY_SIGNAL:  # end as the worker did
        if ended - BY_SIGNAL != signal.SIGKILL:
            signal.signal(ended - BY_SIGNAL, signal.SIG_DFL)
        os.kill(os.getpid(), ended - BY_SIGNAL)
    return ended


def _waited(child: int) -> int:
    """Return the exit status of a child; :data:`BY_SIGNAL` and the number of its signal, if any."""
    while True:
        pid, status = os.wait()
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            return ended if ended >= 0 else BY_SIGNAL - ended


def _execute_as_we_are(spec: IsolationSpec) -> int:
    """Off Linux nothing is given up; say so, and execute only what need not be isolated."""
    refused = f"{sys.platform}: workers are isolated on Linux only" if spec.required else ""
    exposed = tuple(_readable(spec))
    _send(spec, IsolationReport(user=str(os.getuid()), exposed=exposed, refused=refused))
    if refused or not spec.command:
        return REFUSED if refused else 0
    os.chdir(spec.work)
    return os.execv(spec.command[0], spec.command)


def _readable(spec: IsolationSpec) -> list[str]:
    return [Path(name).name for name in spec.secrets if os.access(name, os.R_OK)]


def _tried(found: IsolationReport, what: str, step: Callable[[], None]) -> IsolationReport:
    try:
        step()
    except OSError as error:
        return _noted(found, f"{what}: {error.strerror}")
    return found


def _noted(found: IsolationReport, note: str) -> IsolationReport:
    return replace(found, notes=(*found.notes, note))


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _send(spec: IsolationSpec, found: IsolationReport) -> None:
    with os.fdopen(spec.report, "wb") as file:
        file.write(found.to_json())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
