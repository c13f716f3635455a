"""The user's training: found by its name, and whether the hub's machine has it at all.

User code is never imported into the hub: ``python -m cloud_hub.runs.entry_point RESULT ENTRY
[PATH]``
tries it as a run would, in a process of its own with limits, and leaves in the file RESULT why it
cannot be used, or nothing.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cloud_hub.policy.schema import TrainPolicy
from cloud_hub.runs.process_limits import LimitedProcess, ProcessLimits, end_with_parent, go_first

IMPORT_SECONDS: Final = 40.0
"""How long an import may take; below the minute for which a client waits for an answer."""


def function_of(entry: str, path: str | None) -> Callable[..., Any]:
    """What ``module:function`` names, with ``path`` before Python's own.

    Raises:
        TypeError: it cannot be called.
        Exception: whatever importing the module raises.
    """
    if path and path not in sys.path:
        sys.path.insert(0, path)
    module, _, name = entry.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{name} is no function but of type {type(found).__name__}")
    return found


def problem(policy: TrainPolicy) -> str:
    """Why this machine could not even begin such a training; empty if it could, as far as that
    can be told: a webhook's pipeline is elsewhere.
    """
    if policy.path is not None and not Path(policy.path).is_dir():
        return f"train.path: {policy.path} is no folder on the hub's machine"
    if policy.command is not None and not _program(policy.command[0], policy.path):
        return f"train.command: there is no program {policy.command[0]} on the hub's machine"
    if policy.entry is None:
        return ""
    said = _try(policy.entry, policy)
    return (
        f"train.entry: {policy.entry} cannot be used on the hub's machine: {said}" if said else ""
    )


def _program(name: str, folder: str | None) -> bool:
    """Whether a command would find its program, as it is looked up when it runs in ``folder``."""
    if os.sep in name:
        return os.access(Path(folder or ".") / name, os.X_OK)
    return shutil.which(name) is not None


def _try(entry: str, policy: TrainPolicy) -> str:
    with tempfile.TemporaryDirectory(prefix="edge-hub-entry-") as folder:
        result = Path(folder) / "result"
        words = [str(result), entry, *([policy.path] if policy.path else [])]
        command = [sys.executable, "-m", "cloud_hub.runs.entry_point", *words]
        seconds = min(IMPORT_SECONDS, policy.timeout_seconds)
        limits = ProcessLimits(seconds, policy.memory_mb)
        tried = LimitedProcess(command, Path(folder) / "log.txt", limits, dict(os.environ))
        tried.wait()
        return result.read_text() if result.exists() else tried.ended()


def main(result: str, entry: str, path: str | None = None) -> None:
    """Try an entry."""
    try:
        function_of(entry, path)
        said = ""
    except BaseException as error:  # whatever a module does when it is imported
        said = f"{type(error).__name__}: {error}".strip(": ")
        if isinstance(error, ModuleNotFoundError):
            said += " (train.path says in which folder a module is)"
    Path(result).write_text(said[:500])


if __name__ == "__main__":
    end_with_parent()
    go_first()
    main(*sys.argv[1:])
