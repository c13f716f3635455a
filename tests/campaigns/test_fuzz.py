"""A short storm, and what the campaign's judge would not let pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaigns.fuzz import Storm, report, storm
from tests.campaigns.fuzzing.hub_under_fire import hub_under_fire
from tests.campaigns.fuzzing.in_process import Answered, Asked


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.usefixtures("quiet")
def test_600_requests_of_all_roles_to_all_routes_leave_the_hub_working(tmp_path: Path) -> None:
    with hub_under_fire(tmp_path) as fire:
        came = storm(fire, 600, seed_=12)
    assert came.passed, report(came)
    assert sum(came.statuses.values()) >= 500
    assert {role for role, status in came.statuses if status == 2} >= {"device", "administrator"}


ASKED = Asked("device", "POST", "/v1/messages", body=b"{}")


@pytest.mark.parametrize(
    ("came", "said"),
    [
        (
            Storm(failures=[(ASKED, Answered(500, error="Traceback\nValueError: x"))]),
            "ValueError: x",
        ),
        (Storm(failures=[(ASKED, Answered(503, body=b"busy"))]), "Asked(role='device'"),
        (Storm(loop_errors={"packs": "OverflowError()"}), "loop: packs: OverflowError()"),
        (Storm(good_device=["POST /v1/checkin: 422"]), "a good device: POST /v1/checkin: 422"),
    ],
)
def test_a_storm_that_broke_something_does_not_pass(came: Storm, said: str) -> None:
    assert not came.passed
    assert said in report(came)
    assert "FAILED" in report(came)
