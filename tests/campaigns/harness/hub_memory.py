"""What a hub knew at each moment of a recorded run, to be put back for every state of the device.

States of a disk that are made from one recording are futures of one device: its hub must know what
it knew when that future began, or it would see copies of a device where there is one. A network
between the two notes the hub's database before each answer that it carries.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.campaigns.harness.bad_network import BadNetwork
from tests.campaigns.harness.forked import Child
from tests.servers import HubProcess
from tests.waiting import wait_for


class HubMemory:
    """Copies of a hub's database, by time.

    Args:
        hub: whose database is SQLite's.
        folder: for the copies.
    """

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self._database = hub.data / "hub.db"
        self._port = int(hub.url.rpartition(":")[2])
        self._folder = folder
        self._moments: list[float] = []
        self._child: Child | None = None

    @contextmanager
    def watched(self) -> Iterator[str]:
        """Yield the URL by which a device is watched, until :meth:`stop` or the end of the block.

        This process makes no thread: it forks.
        """
        self._folder.mkdir()
        self._child = Child(self._work).go()
        try:
            port = self._folder / "port"
            wait_for(port.exists, "the network's port")
            yield f"http://127.0.0.1:{port.read_text()}"
        finally:
            self.stop()

    def stop(self) -> None:
        """Watch no longer."""
        if self._child is not None:
            self._child.kill()
            self._child = None
            self._moments = sorted(float(path.stem) for path in self._folder.glob("*.db"))

    def at(self, moment: float) -> int:
        """Return the number of what the hub knew at ``moment``, Unix seconds."""
        return max(bisect_right(self._moments, moment) - 1, 0)

    def put_back(self, number: int) -> None:
        """Let the hub, which runs, know what it knew then."""
        copy = self._folder / f"{self._moments[number]!r}.db"
        with closing(sqlite3.connect(copy)) as known, closing(self._connect()) as database:
            known.backup(database)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=30)

    def _work(self) -> None:
        """Carry and note until killed."""
        network = BadNetwork(self._port, before_answer=self._note_changes)
        part = self._folder / "port.part"
        part.write_text(str(network.port))
        part.rename(self._folder / "port")
        signal.pause()

    def _note_changes(self) -> None:
        if not hasattr(self, "_watched"):
            # A connection of the thread that asks; it says whether others wrote since.
            self._watched = self._connect()
            self._version = -1
        (version,) = self._watched.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self.note()

    def note(self) -> None:
        """Note what the hub knows now."""
        part = self._folder / "copy.part"
        part.unlink(missing_ok=True)
        with closing(self._connect()) as database, closing(sqlite3.connect(part)) as copy:
            database.backup(copy)
        part.rename(self._folder / f"{time.time()!r}.db")
