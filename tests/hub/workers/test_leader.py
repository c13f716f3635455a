"""One leader on PostgreSQL: others follow it at once, and an old one writes nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import transaction
from cloud_hub.database.leader import FileLeadership, TermLeadership
from cloud_hub.database.lease import LeaderStatus
from cloud_hub.database.migrate import open_engine
from cloud_hub.errors import LeadershipLost
from cloud_hub.loop import Loop
from cloud_hub.settings import Settings
from tests.postgres import Cluster
from tests.waiting import wait_for

LEASE = 2.0
CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND query LIKE '%leadership%' AND state = 'idle'"
)
CUT_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name <> current_setting('application_name')"
)


class Holder:
    """A process that leads whenever it can, and can be stopped and killed."""

    def __init__(self, database: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.workers.holder", database, str(LEASE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def write(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def close(self) -> None:
        self.send(signal.SIGCONT)
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.database()


@pytest.fixture
def engine(url: str, tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(Settings(tmp_path, url))
    yield engine
    engine.dispose()


@pytest.fixture
def holder(url: str, engine: Engine) -> Iterator[Holder]:
    """A process that leads."""
    holder = Holder(url)
    assert holder.says() == "leads 1"
    yield holder
    holder.close()


@pytest.fixture
def other(engine: Engine) -> Iterator[TermLeadership]:
    """Another worker, in this process."""
    leadership = TermLeadership(engine, lease=LEASE)
    yield leadership
    leadership.close()


def test_the_next_worker_leads_as_soon_as_the_leader_is_killed(
    holder: Holder, other: TermLeadership
) -> None:
    assert not other.take()
    assert other.status().term == 1
    holder.send(signal.SIGKILL)
    wait_for(other.take, "the lead")
    assert other.status().term == 2


def test_a_leader_that_hangs_is_replaced_and_writes_nothing_when_it_wakes_up(
    holder: Holder, other: TermLeadership, engine: Engine
) -> None:
    holder.write()
    assert holder.says() == "wrote"
    holder.send(signal.SIGSTOP)
    wait_for(other.take, "the lead")
    holder.write()
    holder.send(signal.SIGCONT)
    # It follows at first, or was about to write: in whichever order, nothing is written.
    assert {holder.says(), holder.says()} == {"follows", "refused"}
    assert len(Audit(engine).entries()) == 1
    assert other.holds()


def test_a_leader_that_is_cut_off_from_the_database_is_followed_by_another(
    holder: Holder, other: TermLeadership, engine: Engine
) -> None:
    assert not other.take()

    def cut_off() -> bool:
        with engine.connect() as db:
            db.execute(CUT_OTHERS)
        return other.take()

    wait_for(cut_off, "the lead")
    assert holder.says() == "follows"


def test_the_last_transaction_of_a_term_ends_before_the_next_term_begins(
    other: TermLeadership, engine: Engine
) -> None:
    first = TermLeadership(engine, lease=60.0)
    assert first.take()
    audit, opened, go_on, said = Audit(engine), threading.Event(), threading.Event(), []

    def work() -> None:
        with first.fence():
            with transaction(engine):
                audit.record("first", "in its term", None)
                opened.set()
                go_on.wait()
            try:
                audit.record("first", "after its term", None)
            except LeadershipLost as error:
                said.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait()
    with engine.connect() as db:
        db.execute(CUT)
    assert not other.take()  # it has the lock, and not yet the term
    go_on.set()
    wait_for(other.take, "the lead")
    thread.join()
    # What came first is stored; what came after the new term is not.
    assert audit.entries()[0].action == "in its term"
    assert all("term 1 is over" in each for each in said)
    first.close()


def test_a_worker_whose_clock_is_off_says_so_and_leaves_the_lead_to_others(
    engine: Engine, other: TermLeadership
) -> None:
    off = TermLeadership(engine, wall=lambda: time.time() + 60, lease=LEASE)
    assert other.take()
    other.close()  # just now
    first = off.take()
    status = off.status()
    assert re.search(r"clock is \+(59|60)\.\d s off the database's", status.problem)
    assert (first, status.leads) == (False, False)
    wait_for(off.take, "the lead of the only worker that is there")
    assert re.search(r"clock is \+(59|60)\.\d s", off.status().problem)
    off.close()


def test_after_a_time_without_a_database_the_one_that_led_before_is_the_first(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    url = own_cluster.database()
    engine = open_engine(Settings(tmp_path, url))
    follower = TermLeadership(engine, lease=LEASE)
    holder = Holder(url)
    try:
        assert holder.says() == "leads 1"
        assert not follower.take()
        own_cluster.stop()
        assert holder.says() == "follows"
        assert not follower.take()
        assert "does not answer" in follower.status().problem
        own_cluster.start()
        assert holder.says() == "leads 2"
        assert not follower.take()
        assert follower.status().problem == ""
    finally:
        holder.close()
        follower.close()
        engine.dispose()


def test_parts_end_once_another_worker_leads_and_are_not_errors() -> None:
    class Passing:
        """Leads until its first part has run."""

        leads = True

        def take(self) -> bool:
            return self.leads

        def holds(self) -> bool:
            return self.leads

        def fence(self) -> FileLeadership:
            raise AssertionError

        def status(self) -> LeaderStatus:
            return LeaderStatus(self.leads, term=1 if self.leads else 2)

        def close(self) -> None:
            return

    leadership, done = Passing(), []

    def first(_: float) -> None:
        leadership.leads = False
        raise LeadershipLost("term 1 is over")

    loop = Loop({"first": first, "second": done.append}, 1.0, leadership)  # type: ignore[arg-type]
    loop.leads = True
    loop.tick(0.0)
    assert (loop.errors, done) == ({}, [])


def test_on_one_machine_the_lock_of_a_file_says_who_leads(tmp_path: Path) -> None:
    first, second = FileLeadership(tmp_path / "lock"), FileLeadership(tmp_path / "lock")
    assert first.take()
    assert first.take()
    assert not second.take()
    assert (first.status().leads, second.status().leads) == (True, False)
    first.close()
    assert second.take()
    second.close()
