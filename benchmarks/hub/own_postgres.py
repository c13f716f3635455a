"""A PostgreSQL of the benchmark's own, on the cores of the load, with every commit on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.hub.served import cores
from tests.postgres import Cluster, installed_programs


@contextmanager
def own_postgres(folder: str) -> Iterator[Cluster]:
    """Serve an empty one until the block ends.

    Args:
        folder: empty; the server's own user must reach it.

    Raises:
        FileNotFoundError: PostgreSQL's server is not installed.
    """
    programs = installed_programs()
    if programs is None:
        raise FileNotFoundError("expected PostgreSQL's server: apt install postgresql")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores()[1])  # the server's processes inherit it
    try:
        cluster = Cluster(programs, Path(folder), durable=True)
    finally:
        os.sched_setaffinity(0, before)
    try:
        yield cluster
    finally:
        cluster.close()
