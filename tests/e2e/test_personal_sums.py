"""Sums over units on their way: from what people teach a real device to what a real hub learns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.e2e.test_personal_priors import STRANGER, Personal
from tests.hub.personalise.people import rows_of
from tests.servers import HubProcess
from tests.waiting import wait_for

POLICY = "personalise: {mode: on, unit_column: person, report_days: %s, minimum_units: 20%s}"
LABELS = 24


@pytest.fixture
def personal(
    hub: HubProcess, publish: Publish, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Personal]:
    model = f"s{abs(hash(request.node.name)) % 10**8}"
    publish(model)
    found = Personal(hub, model, tmp_path)
    yield found
    found.device.close()


def begin(personal: Personal, days: float = 0.0, more: str = "") -> None:
    """Have the device follow a plan with a prior."""
    personal.apply(POLICY % (days, more))
    personal.fit()
    assert personal.device.sync().update == "activated"


def teach(device: EdgeDevice, people: int, first: int = 2_000) -> None:
    for person in range(first, first + people):
        x, y = rows_of(person, LABELS)
        for row, label in zip(x, y.tolist(), strict=True):
            prediction = device.predict(row, unit=f"person {person}")
            device.feedback(prediction.id, label=label)


def another(personal: Personal, state: Path) -> EdgeDevice:
    token = personal.hub.token(personal.model)
    return EdgeDevice(
        state, hub=personal.hub.url, token=token, model=personal.model, config=PATIENT,
        background=False,
    )  # fmt: skip


def told(personal: Personal) -> list[dict[str, Any]]:
    """What the hub has of the model's devices."""
    with closing(sqlite3.connect(personal.hub.data / "hub.db")) as db:
        rows = db.execute(
            "SELECT body FROM personal_reports WHERE model = ?", (personal.model,)
        ).fetchall()
    return [json.loads(body) for (body,) in rows]


def test_a_device_with_enough_units_tells_their_sums_once_and_no_name(personal: Personal) -> None:
    begin(personal)
    teach(personal.device, 20)
    personal.device.sync()
    (body,) = told(personal)
    assert (body["units"], body["labels"]) == (20.0, 20.0 * LABELS)
    assert "epsilon" not in body
    assert "person" not in str(body).replace("personal", "")
    found = personal.hub.admin.get(f"models/{personal.model}/personalise/evidence")
    assert (found["voices"], found["needed"]) == (1, 20)
    page = personal.folder / "evidence.html"
    assert personal.run("personalise", "evidence", personal.model, "--html", page) == 0
    assert "1 of 20 devices have reported" in page.read_text()
    personal.device.close()
    personal.device = personal.opened()
    teach(personal.device, 20, first=3_000)
    personal.device.sync()
    assert len(told(personal)) == 1


def test_a_device_with_few_units_tells_nothing_until_there_are_enough(personal: Personal) -> None:
    begin(personal)
    teach(personal.device, 19)
    personal.device.sync()
    assert told(personal) == []
    teach(personal.device, 1, first=5_000)
    personal.device.sync()
    assert [body["units"] for body in told(personal)] == [20.0]


def test_a_unit_that_was_forgotten_before_is_in_no_sum(personal: Personal) -> None:
    begin(personal)
    teach(personal.device, 20)
    assert personal.device.forget("person 2007")
    personal.device.sync()
    assert told(personal) == []
    teach(personal.device, 1, first=5_000)
    personal.device.sync()
    assert [body["units"] for body in told(personal)] == [20.0]


def test_a_phone_of_one_person_tells_its_sums_with_noise_at_its_time(personal: Personal) -> None:
    begin(personal, days=5e-5, more=", epsilon: 2")
    teach(personal.device, 1)

    def sent() -> bool:
        personal.device.sync()
        return bool(told(personal))

    wait_for(sent, "a report with noise")
    (body,) = told(personal)
    assert body["epsilon"] == 2.0
    assert body["units"] != 1.0
    assert body["at"] - body["start"] >= 4


@pytest.mark.parametrize("how", ["with", "without"])
def test_devices_of_both_arms_serve_one_release_with_the_prior_and_without(
    personal: Personal, tmp_path: Path, how: str
) -> None:
    begin(personal)
    devices = [another(personal, tmp_path / f"d{i}") for i in range(4)]
    try:
        for device in devices:
            device.sync()
        option = f"--{how}"
        assert personal.run("experiments", "personalise", personal.model, option) == 0
        served = set()
        for device in devices:
            device.sync()
            x, y = rows_of(STRANGER, 60)
            for row, label in zip(x, y.tolist(), strict=True):
                prediction = device.predict(row, unit="somebody")
                device.feedback(prediction.id, label=label)
            status = device.status()
            shown = status["arm"] if status.get("experiment") else "control"
            served.add((shown, prediction.personalised))
        wanted = {"with": {("with", True), ("control", False)},
                  "without": {("without", False), ("control", True)}}[how]  # fmt: skip
        assert served <= wanted, served
        assert len({personalised for _, personalised in served}) == 2
    finally:
        for device in devices:
            device.close()


def test_by_key_units_of_one_device_are_on_both_arms(personal: Personal, tmp_path: Path) -> None:
    begin(personal)
    for i in range(2):  # with fewer devices there is no verdict, so it would not begin
        with another(personal, tmp_path / f"d{i}") as device:
            device.sync()
    words = ("experiments", "personalise", personal.model, "--without", "--by", "key")
    assert personal.run(*words) == 0
    personal.device.sync()
    personal.device.sync()
    shown = {}
    for person in range(2_000, 2_012):
        x, y = rows_of(person, LABELS)
        for row, label in zip(x, y.tolist(), strict=True):
            prediction = personal.device.predict(row, unit=f"person {person}")
            personal.device.feedback(prediction.id, label=label)
            assert prediction.version == "1.0"
        shown[person] = prediction.personalised
    assert set(shown.values()) == {True, False}
    for person, before in shown.items():  # a unit stays on its arm
        row = rows_of(person, 1)[0][0]
        assert personal.device.predict(row, unit=f"person {person}").personalised == before
