"""Finds the user's training by its name, and checks that the hub's machine has it at all.

User code is never imported into the hub. ``python -m cloud_hub.runs.entry_point ENTRY PATH``
tries it as a run would, in a worker, and writes into the file ``result`` why it cannot be used, or
nothing.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cloud_hub.errors import Invalid
from cloud_hub.isolation.handback import opened, printable
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.workers import Workers
from cloud_hub.policy.schema.sections import TrainPolicy

IMPORT_SECONDS: Final = 40.0
"""Seconds that an import may take; below the minute for which a client waits for an answer."""

RESULT: Final = "result"
RESULT_BYTES: Final = 4_096


def function_of(entry: str, path: str | None) -> Callable[..., Any]:
    """Import the function ``module:function``, with the folder ``path`` before Python's own.

    Raises:
        TypeError: it cannot be called.
        Exception: whatever importing the module raises.
    """
    if path and path not in sys.path:
        sys.path.insert(0, path)
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{name} is no function but of type {type(function).__name__}")
    return function


def problem(workers: Workers, policy: TrainPolicy) -> str:
    """Return why this machine could not even begin such a training; empty if nothing is wrong.

    A webhook's pipeline is elsewhere, so nothing of it can be checked here.
    """
    if policy.path is not None and not Path(policy.path).is_dir():
        return f"train.path: {policy.path} is no folder on the hub's machine"
    if policy.command is not None and not _program(policy.command[0], policy.path):
        return f"train.command: there is no program {policy.command[0]} on the hub's machine"
    if policy.entry is None:
        return ""
    error = _try(workers, policy.entry, policy)
    if not error:
        return ""
    return f"train.entry: {policy.entry} cannot be used on the hub's machine: {error}"


def _program(name: str, folder: str | None) -> bool:
    """Tell whether a command that runs in ``folder`` would find its program."""
    if os.sep in name:
        return os.access(Path(folder or ".") / name, os.X_OK)
    return shutil.which(name) is not None


def _try(workers: Workers, entry: str, policy: TrainPolicy) -> str:
    folder = Path(policy.path).absolute() if policy.path else None
    limits = ProcessLimits(min(IMPORT_SECONDS, policy.timeout_seconds), policy.memory_mb)
    work = workers.new_folder()
    try:
        process = workers.start(
            "cloud_hub.runs.entry_point", [entry, *([str(folder)] if folder else [])],
            work, work / "log.txt", limits, reads=[folder] if folder else [], foreign=False,
        )  # fmt: skip
        process.wait()
        with opened(work) as left:
            said = left.read(RESULT, RESULT_BYTES)
    except Invalid as error:
        return str(error)
    finally:
        workers.remove(work)
    return (
        process.ended() if said is None else printable(said.decode(errors="replace"), RESULT_BYTES)
    )


def main(entry: str, path: str | None = None) -> None:
    """Try an entry, and write into the file ``result`` why it cannot be used; nothing if it can.

    Args:
        entry: ``module:function``.
        path: folder of the module, if it is not on Python's path.
    """
    try:
        function_of(entry, path)
        message = ""
    except BaseException as error:  # whatever a module does when it is imported
        message = f"{type(error).__name__}: {error}".strip(": ")
        if isinstance(error, ModuleNotFoundError):
            message += " (train.path says in which folder a module is)"
    Path(RESULT).write_text(message[:500])


if __name__ == "__main__":
    main(*sys.argv[1:])
