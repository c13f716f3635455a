"""Requests that made a 5xx when somebody tried: the name says what was wrong, the request stays."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator

import pytest

from tests.campaigns.fuzzing.hub_under_fire import UnderFire, hub_under_fire
from tests.campaigns.fuzzing.in_process import Asked

PREDICT = "/v1/predict"
CALL = "/v1/models/demo/triggers/asked/call"
UPLOAD = "/v1/messages"
ROWS = "/v1/models/demo/datasets/train"


HUGE_SEQUENCE = b'{"messages":[{"boot":"b","sequence":%s,"kind":"event","body":{}}]}' % (b"9" * 30)


def row(first: int) -> bytes:
    return json.dumps({"model": "demo", "version": "1.0", "row": [first, 0, 0, 0]}).encode()


def checkin(**changes: object) -> bytes:
    state = {"version": "1.0", "plan": 1, **changes}
    return json.dumps({"models": {"demo": state}}).encode()


def open_bracket() -> bytes:
    """An array whose header is a bracket that nobody closes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 2) + b"(\n")
    return file.getvalue()


FOUND: dict[str, tuple[Asked, int, str]] = {
    "a NUL in the name of metadata reached the file system": (
        Asked("nobody", "GET", "/v1/metadata/a%00.json"),
        400,
        "control characters",
    ),
    "a name longer than the file system takes": (
        Asked("nobody", "GET", "/v1/metadata/" + "x" * 260 + ".json"),
        414,
        "at most 200 bytes",
    ),
    "a path of 5,000 characters": (
        Asked("administrator", "GET", "/v1/models/" + "x" * 5_000 + "/plan"),
        414,
        "at most 1024 bytes",
    ),
    "an integer beyond 64 bits in a message": (
        Asked("device", "POST", UPLOAD, body=HUGE_SEQUENCE),
        200,
        "an integer of 64 bits",
    ),
    "a row on which the cloud's model itself fails": (
        Asked("device", "POST", PREDICT, body=row(101)),
        422,
        "row: big 1.0 cannot answer it; the model failed",
    ),
    "the largest integer in a row for the cloud": (
        Asked("device", "POST", PREDICT, body=row(2**63 - 1)),
        422,
        "row: big 1.0 cannot answer it",
    ),
    "a call nested deeper than the database's JSON is written": (
        Asked("webhook", "POST", CALL, body=b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"),
        422,
        "expected less nesting",
    ),
    "a call with half a character": (
        Asked("webhook", "POST", CALL, body=b'{"a":"\\ud800"}'),
        422,
        "without a lone surrogate",
    ),
    "rows whose header is Python that does not end": (
        Asked("administrator", "POST", ROWS, body=open_bracket()),
        422,
        "expected an .npz with X and y",
    ),
    "a check-in with ten thousand releases that failed": (
        Asked("device", "POST", "/v1/checkin", body=checkin(failed=["x"] * 10_000)),
        422,
        "CheckIn.models.demo.failed: expected at most 256",
    ),
    "a check-in of a serial beyond the database's": (
        Asked("device", "POST", "/v1/checkin", body=checkin(plan=2**40)),
        422,
        "CheckIn.models.demo.plan: expected 0 to",
    ),
    "nesting that the parser takes and the error's text does not": (
        Asked("device", "POST", "/v1/checkin", body=b'{"models":' + b"[" * 950 + b"]" * 950 + b"}"),
        422,
        "CheckIn",
    ),
}


@pytest.fixture(scope="module")
def fire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UnderFire]:
    wanted = request.config.getoption("--postgres")
    database = request.getfixturevalue("cluster").database() if wanted else None
    with hub_under_fire(tmp_path_factory.mktemp("fire"), database) as fire:
        yield fire


@pytest.mark.parametrize("case", FOUND)
def test_what_made_a_5xx_is_refused_in_words(fire: UnderFire, case: str) -> None:
    asked, status, reason = FOUND[case]
    answer = fire.ask(asked)
    assert (answer.status, answer.error) == (status, "")
    assert reason in answer.body.decode()


def test_afterwards_the_hub_ticks_and_serves(fire: UnderFire) -> None:
    fire.tick()
    assert (fire.loop_errors, fire.good_device()) == ({}, [])
