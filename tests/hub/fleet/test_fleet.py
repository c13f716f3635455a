"""Enrolment and the list of devices."""

from __future__ import annotations

import logging
import time

import pytest
from sqlalchemy import update

from cloud_hub.errors import Forbidden, Unauthenticated
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub
from tests.simulated_device import enrolled


def token(hub: Hub, **changes: object) -> str:
    options = {"uses": 1, "seconds": 3_600.0, "actor": "ann", **changes}
    return hub.fleet.new_token("demo", **options)  # type: ignore[arg-type]


def used_up(hub: Hub) -> str:
    made = token(hub)
    enrolled(hub, made)
    return made


def expired(hub: Hub) -> str:
    made = token(hub, seconds=0.001)
    time.sleep(0.01)
    return made


def revoked(hub: Hub) -> str:
    made = token(hub)
    (record,) = hub.fleet.tokens.list("demo")
    hub.fleet.tokens.revoke(record.id, actor="ann")
    return made


REFUSED = {
    "unknown": (lambda hub: "guess", "demo", Unauthenticated, "unknown to this hub"),
    "used up": (used_up, "demo", Forbidden, "used up"),
    "expired": (expired, "demo", Forbidden, r"expired at 20\d\d-\d\d-\d\d \d\d:\d\d UTC"),
    "another model's": (token, "other", Forbidden, "is for demo, not for other"),
    "revoked": (revoked, "demo", Forbidden, "was revoked"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_owner_of_a_token_learns_why_it_is_refused(
    inner: Hub, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    make, model, error, reason = REFUSED[case]
    made = make(inner)
    with pytest.raises(error, match=f"enrolment token: {reason}"):
        enrolled(inner, made, model)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert made not in caplog.text


def test_an_enrolment_is_logged_without_its_secrets(
    inner: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    made = token(inner)
    with caplog.at_level(logging.INFO, "cloud_hub"):
        device = enrolled(inner, made, attributes={"owner": "private"})
    assert caplog.messages == [f"device {device} enrolled for demo"]
    assert not any(secret in caplog.text for secret in (made, "private"))
    # Nor is it in the audit, which stays when the device is forgotten.
    assert "private" not in str(inner.audit.entries("demo"))


def test_devices_are_listed_by_model_time_and_number(inner: Hub) -> None:
    names = []
    for model in ("demo", "demo", "other", "demo"):
        made = inner.fleet.new_token(model, uses=1, seconds=60, actor="ann")
        names.append(enrolled(inner, made, model))
    for seen_at, name in zip((400, 100, 300, 200), names, strict=True):
        with inner.engine.begin() as db:
            db.execute(update(devices).where(devices.c.device == name).values(seen_at=seen_at))

    def listed(**options: object) -> list[int]:
        found = inner.fleet.devices(**options)  # type: ignore[arg-type]
        return [names.index(record.device) for record in found]

    assert listed() == [0, 1, 2, 3]
    assert listed(model="demo") == [0, 1, 3]
    assert listed(since=200) == [0, 2, 3]
    assert listed(limit=2) == [0, 2]
    assert listed(model="demo", since=150, limit=1) == [0]


def test_a_token_on_a_command_line_is_never_taken_for_an_option(inner: Hub) -> None:
    assert {token(inner).partition("_")[0] for _ in range(200)} == {"enrol"}
    assert (inner.settings.data / "admin.token").read_text().startswith("admin_")
