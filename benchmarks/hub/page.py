"""``docs/SCALE.md``: what one hub was measured to do. Pure, but for the facts of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.hub.cached_rows import MeasuredGroup
from benchmarks.hub.scale_row import ScaleRow

HEAD: Final = """# What one hub carries

Written by `make hub-load`: a real hub over HTTP on the loopback address, alone on one core, with
SQLite and a folder; the load comes from the other cores, from a generator of raw sockets whose own
limit is the last row. Where a machine does other work at the same time, rates and waits suffer and
the processor time of a request hardly does: its inverse is what one core carries.
"""

ABOUT: Final = """
## Which web server

{servers}

uvicorn with httptools and uvloop takes least, so both come with the hub, and uvicorn uses them by
itself. granian is no quicker here and brings a runtime of its own.

## How the cascade is answered

Rows of `POST /v1/predict` that wait at the same time are answered by one run of the cloud model;
none waits for company. A row in company is checked by itself, and gets the answer that it gets
alone: the same label, probabilities and values within 10⁻⁶, because float32 adds up in another
order in a batch. A new cloud model or policy is in force within a second.

## What a hub loads

A hub that starts loads neither tables (pyarrow, pandas) nor distributions (SciPy) nor a runtime:
each comes when something first needs it, and stays. The first drift test takes some 50 MB, the
first data set 35 MB, the first cascade answer 20 MB and the model. securesystemslib, which signs,
loads boto3 where that is installed: 10 MB that a hub without it does not have.
"""


def to_markdown(
    measured: Mapping[str, MeasuredGroup], waiting: Mapping[str, ScaleRow], servers: str
) -> str:
    """Return the page.

    Args:
        measured: groups of rows, in the order of the page.
        waiting: what stands in the place of a group that nobody measured yet.
        servers: name of the group that has a table of its own.
    """
    lines = ["| measured | goal | found | machine |", "|---|---|---|---|"]
    machines = _machines(list(measured.values()))
    for name in waiting:
        group = measured.get(name)
        if name == servers:
            continue
        rows = group.rows if group else (waiting[name],)
        where = f"{machines[_key(group)]}, load {group.load}" if group else "–"
        lines += [_line(row, where) for row in rows]
    about = ABOUT.format(servers=_servers(measured.get(servers)))
    return "\n".join([HEAD, *lines, "", *_machine_list(machines), about])


def _key(group: MeasuredGroup) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(group.facts.items()))


def _machines(groups: Sequence[MeasuredGroup]) -> dict[tuple[tuple[str, str], ...], str]:
    """Return a letter for each machine, by its facts."""
    keys = dict.fromkeys(_key(group) for group in groups)
    return {key: chr(ord("A") + place) for place, key in enumerate(keys)}


def _machine_list(machines: Mapping[tuple[tuple[str, str], ...], str]) -> list[str]:
    return [
        f"- {letter}: " + "; ".join(f"{name} {value}" for name, value in key)
        for key, letter in machines.items()
    ]


def _line(row: ScaleRow, where: str) -> str:
    met = "" if row.met is None else ": met" if row.met else ": **not met**"
    found = f"{row.found}{met}" if row.found else "not measured yet"
    return f"| {row.what} | {row.goal or '–'} | {found} | {where} |"


def _servers(group: MeasuredGroup | None) -> str:
    lines = ["| measured | found |", "|---|---|"]
    lines += [f"| {row.what} | {row.found} |" for row in (group.rows if group else ())]
    return "\n".join(lines)
