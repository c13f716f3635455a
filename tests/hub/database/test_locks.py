"""Locks over all workers: one holder at a time, and none that outlives its process."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from sqlalchemy import Engine, create_engine

from cloud_hub.database import locks
from cloud_hub.database.locks import exclusive
from cloud_hub.errors import Unavailable
from tests.postgres import Cluster
from tests.waiting import PATIENCE

HOLDER = """
import sys, time
from sqlalchemy import create_engine
from cloud_hub.database.locks import exclusive
with exclusive(create_engine(sys.argv[1]), "publish"):
    print("held", flush=True)
    sys.stdin.read()
"""


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return create_engine(
        "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres")
    )


@pytest.fixture
def postgres(cluster: Cluster) -> str:
    return cluster.database()


def test_one_thread_at_a_time_holds_a_lock(engine: Engine) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(5):
            with exclusive(engine, "publish"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert most == [1] * 20


def test_the_holder_may_enter_again_and_other_names_are_free(engine: Engine) -> None:
    with exclusive(engine, "publish"), exclusive(engine, "publish"), exclusive(engine, "other"):
        pass
    with exclusive(engine, "publish"):
        pass


@pytest.mark.postgres
def test_a_lock_ends_with_its_process_however_that_ends(postgres: str) -> None:
    held = subprocess.Popen(
        [sys.executable, "-c", HOLDER, postgres], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with held:
        assert held.stdout is not None
        assert held.stdout.readline() == b"held\n"
        threading.Timer(0.1, held.kill).start()
        with exclusive(create_engine(postgres), "publish"):
            assert held.wait(PATIENCE) == -9


@pytest.mark.postgres
def test_a_lock_that_is_never_given_back_is_an_error_in_the_end(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, postgres], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as held:
        assert held.stdout is not None
        held.stdout.readline()
        with (
            pytest.raises(Unavailable, match="publish: the lock"),
            exclusive(create_engine(postgres), "publish"),
        ):
            pass
        held.kill()
