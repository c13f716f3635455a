"""``docs/SCALE.md``: what one hub was measured to do. Pure, but for the facts of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.hub.cached_rows import MeasuredGroup
from benchmarks.hub.scale_row import ScaleRow

HEAD: Final = """# What one hub carries

Written by `make hub-load`: a real hub over HTTP on the loopback address, alone on one core, with
SQLite and a folder unless a row says otherwise; the load comes from the other cores, from a
generator of raw sockets whose own limit is the last row. Where a machine does other work at the
same time, rates and waits suffer and the processor time of a request hardly does: its inverse is
what one core carries. A hub finds its modules compiled, as an installed one does. The last column
says on which machine a row was measured, and how busy it was as the row began.

`make hub-load` measures what is missing here and keeps each row at once, so it may be cut and goes
on; `make hub-load ROWS="storm push"` repeats some, `ROWS=all` all. The row beside MLflow needs
`PEERS=FOLDER`, a virtual environment with MLflow.
"""

ABOUT: Final = """
## A fleet that comes back at once

{picture}
After a power cut every device asks at once for the newest metadata, checks in, downloads a model
and reports. What a hub cannot answer soon it refuses before it has read the body, with 503 and the
seconds after which to come again: those are no errors, devices do as they are told, and the refused
are spread over the time that answering them takes. What is in memory is refused to nobody, since it
costs no more than a refusal: metadata, plans, floors and manifests. Any other 5xx, and any
connection that breaks, is counted as an error; a connection that was idle for five seconds and that
the hub has closed is none, a device sends its request again on another. Check-ins are let in before
uploads, and those before downloads; no more than 200 downloads are under way at once, each with a
megabyte or two in memory: that is what bounds the memory of a hub, not how many devices wait. A
process may have as many connections open as the system lets it (`ulimit -n`); `handles` in
`/readyz` says how many it has. As many wait to be accepted as `net.core.somaxconn` says, 8,192 at
most.

A device costs the hub the same whoever else comes, so the time grows with their number: the slope
of the curve is what one more device costs, and the point for a million is that slope's. Beyond some
ten thousand devices on one line it is the line that decides and not the hub: a model of a megabyte
for a million devices is a terabyte. A bucket or a cache that answers downloads takes them off both
([STORAGE.md](STORAGE.md)); more workers ([WORKERS.md](WORKERS.md)) divide the rest.

What happens when a worker, the database, the bucket or a disk fails is a table of its own:
[faults of the hub](RELIABILITY.md#faults-of-the-hub-one-by-one).

## Very many models

Gates and monitoring look at as many models in one round of the hub's loop as two seconds of its
processor take, and go on with the others in the next: the rest of its work, signatures that are to
be renewed among it, never waits for them. Each running experiment is looked at whether or not
something was reported, since time alone moves some of them on; a version without a window that has
closed costs monitoring nothing.

A page of versions, one of them and the plan are read by an index, however many there are. The
signed metadata is one document for all versions, which devices download when one is published,
compressed: some 100 bytes a file of each version. Hundreds of versions of a hundred models are
megabytes of it.

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
would load boto3 where that is installed; a hub keeps it from doing so. While it imports, Python
looks for no garbage, and afterwards never again among what a hub has imported: each such look took
the time of a hundred answers, for which all of them waited.

A hub computes its matrices on one thread, since they are small and many: on two, the gates and
the monitoring of the row above took twice the processor time and no less of the clock's. Where
`OPENBLAS_NUM_THREADS` or `OMP_NUM_THREADS` is set, it is as that says; trainings see only these.
"""


def to_markdown(
    measured: Mapping[str, MeasuredGroup],
    waiting: Mapping[str, ScaleRow],
    servers: str,
    picture: str = "",
) -> str:
    """Return the page.

    Args:
        measured: groups of rows, in the order of the page.
        waiting: what stands in the place of a group that nobody measured yet.
        servers: name of the group that has a table of its own.
        picture: file of the curve, if there is one.
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
    curve = f"![time until a fleet that comes at once is back]({picture})\n" if picture else ""
    about = ABOUT.format(servers=_servers(measured.get(servers)), picture=curve)
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
