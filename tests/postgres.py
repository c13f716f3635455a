"""A PostgreSQL of the tests' own, where its server is installed (``apt install postgresql``).

It listens on a socket in its own folder, so that it meets no other and none meets it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.waiting import PATIENCE

NUMBERS = itertools.count(1)
INSTALLED = Path("/usr/lib/postgresql")
MISSING = "PostgreSQL's server is not installed here (Debian: apt install postgresql)"


class Cluster:
    """A server that ends with the tests; each database is empty at first.

    Unless it is ``durable`` it waits for no disk.
    """

    def __init__(self, programs: Path, folder: Path, *, durable: bool = False) -> None:
        self._programs, self._folder, self._durable = programs, folder, durable
        self.folder = folder
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self.user: str | int = self._user or os.geteuid()
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync")
        self.start()

    def start(self) -> None:
        """Start the server, for the first time or after :meth:`stop`."""
        fsync = "on" if self._durable else "off"
        quick = f"-c fsync={fsync} -c listen_addresses='' -c max_connections=200"
        log, options = str(self._folder / "log"), f"-k {self._folder} {quick}"
        self._run("pg_ctl", "-w", "-t", "300", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End the server as a shutdown of its machine does: its sessions are cut off."""
        self._run("pg_ctl", "-w", "-m", "fast", "stop")

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *options],
            check=True, cwd=self._folder, user=self._user,
            stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=PATIENCE,
        )  # fmt: skip

    def database(self, place: Path | None = None) -> str:
        """The SQLAlchemy URL of a new database, with its tables in another folder where one is
        named: an empty one of the server's own user.
        """
        name = f"hub_{next(NUMBERS)}"
        if place is None:
            self._administer(f"CREATE DATABASE {name}")
        else:
            self._administer(f"CREATE TABLESPACE {name} LOCATION '{place}'")
            self._administer(f"CREATE DATABASE {name} TABLESPACE {name}")
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def drop(self, url: str) -> None:
        """Remove a database that has a folder of its own, and all that is in it."""
        name = url.partition("@/")[2].partition("?")[0]
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")
        self._administer(f"DROP TABLESPACE {name}")

    def _administer(self, statement: str) -> None:
        where = f"host={self._folder} user=postgres dbname=postgres"
        with psycopg.connect(where, autocommit=True) as db:
            db.execute(statement.encode())

    def close(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop")


def running_cluster() -> Iterator[Cluster]:
    """A server, or a skip that says what is missing."""
    programs = installed_programs()
    if programs is None:
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        cluster = Cluster(programs, Path(folder))
        try:
            yield cluster
        finally:
            cluster.close()


def installed_programs() -> Path | None:
    """The folder of the server's programs, if they are there."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return Path(found).parent
    versions = sorted(INSTALLED.glob("*/bin/pg_ctl"), key=lambda p: int(p.parts[-3]))
    return versions[-1].parent if versions else None
