"""A few kills of a hub that stores reports, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaigns.report_kills import run
from tests.postgres import Cluster, running_cluster

KILLS = 3


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    yield from running_cluster()


def test_a_killed_hub_loses_no_report_that_it_acknowledged(tmp_path: Path) -> None:
    outcome = run(tmp_path, KILLS)
    assert outcome.acknowledged > 0
    assert (outcome.lost, outcome.doubled) == (0, 0)


def test_nor_does_one_on_postgresql(tmp_path: Path, cluster: Cluster) -> None:
    outcome = run(tmp_path, KILLS, database=cluster.database())
    assert outcome.acknowledged > 0
    assert (outcome.lost, outcome.doubled) == (0, 0)
