"""Processes and what they started, from ``/proc``; nothing where there is none."""

from __future__ import annotations

from pathlib import Path


def family(process: int) -> list[int]:
    """Return the numbers of a process, of its group, and of all that they started, at any depth."""
    states = _states()
    below: dict[int, list[int]] = {}
    for child, (parent, _) in states.items():
        below.setdefault(parent, []).append(child)
    seen: set[int] = set()
    waiting = [pid for pid, (_, group) in states.items() if process in (pid, group)]
    while waiting:
        pid = waiting.pop()
        if pid not in seen:
            seen.add(pid)
            waiting += below.get(pid, [])
    return sorted(seen)


def _states() -> dict[int, tuple[int, int]]:
    """Parent and group by process, from ``/proc/PID/stat``: pid (name) state ppid pgrp."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # From the last ")" on: the name of a program may have spaces and parentheses.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process ended meanwhile
        found[int(folder.name)] = (int(fields[1]), int(fields[2]))
    return found
