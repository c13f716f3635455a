"""``docs/SCALE.md``: what one hub was measured to do. Pure, but for the facts of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.hub.measured_rows import ScaleRow
from edge_sdk.bench import machine

WAITING: Final = (
    ScaleRow("alias", "poll beside an MLflow alias read", "≥ 20×"),
    ScaleRow("workers", "two workers on PostgreSQL against one", "≥ 1.6×"),
    ScaleRow("storm", "100,000 devices come back at once", "no 5xx, bounded memory"),
    ScaleRow("push", "publish → plan received on 500 clients", "p99 ≤ 5 s"),
    ScaleRow("versions", "10,000 versions × 100 models: resolve, page, plan", "≤ 5, ≤ 20, ≤ 20 ms"),
    ScaleRow("tick", "monitoring and gates of 100 models × 1,000 devices", "≤ 5 s a tick"),
    ScaleRow("pack", "pack of 10⁶ entries: build, sign, publish", "≤ 60 s"),
)  # fmt: skip
"""Rows that this benchmark does not measure yet."""

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


def to_markdown(rows: Sequence[ScaleRow], servers: Sequence[ScaleRow]) -> str:
    """Return the page.

    Args:
        rows: of the hub, measured in one run.
        servers: web servers that were compared in it.
    """
    measured = {row.name for row in rows}
    waiting = [row for row in WAITING if row.name not in measured]
    facts = machine.facts() | machine.conditions()
    where = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    about = ABOUT.format(servers=_table(servers))
    return f"{HEAD}\n{_table([*rows, *waiting])}\n\nMeasured on:\n\n{where}\n{about}"


def _table(rows: Sequence[ScaleRow]) -> str:
    lines = ["| measured | goal | found |", "|---|---|---|"]
    for row in rows:
        met = "" if row.met is None else ": met" if row.met else ": **not met**"
        found = f"{row.found}{met}" if row.found else "not measured yet"
        lines.append(f"| {row.what} | {row.goal or '–'} | {found} |")
    return "\n".join(lines)
