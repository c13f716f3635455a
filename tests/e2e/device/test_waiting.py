"""Updates that wait: for a window, for a network that costs nothing, for the application."""

from __future__ import annotations

import datetime
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice, EdgeError
from edge_sdk.update.admission import UpdateOffer
from tests.clock import Clock
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.model_folder import model_folder
from tests.servers import HubProcess
from tests.waiting import wait_for

DAY = 86_400.0


@pytest.fixture
def model(publish: Publish, request: pytest.FixtureRequest) -> str:
    name = f"wait-{zlib.crc32(request.node.name.encode())}"
    publish(name)
    return name


def opened(state: Path, hub: HubProcess, model: str, **more: Any) -> EdgeDevice:
    options = {"config": PATIENT, "background": False, "token": hub.token(model)} | more
    return EdgeDevice(state, hub=hub.url, model=model, **options)


def waits(device: EdgeDevice) -> tuple[str, str] | None:
    """Step and reason of what waits, as the status says."""
    said = device.status()["update_waits"]
    return said and (said["step"], said["reason"])


def test_an_application_puts_a_download_off_and_then_the_activation(
    hub: HubProcess, publish: Publish, model: str, tmp_path: Path
) -> None:
    offers: list[UpdateOffer] = []
    busy = {"download", "activate"}

    def on_update(offer: UpdateOffer) -> bool:
        offers.append(offer)
        return offer.step not in busy

    with opened(tmp_path / "d", hub, model, on_update=on_update) as device:
        assert offers == []  # a device that holds nothing asks nobody
        release = publish(model, "1.1", seed=3)
        place = model_folder(tmp_path / "d") / "releases" / release.digest
        assert device.sync().update == "waiting"
        assert (waits(device), place.exists()) == (("download", "application"), False)
        busy.remove("download")
        assert device.sync().update == "waiting"
        assert (waits(device), place.exists()) == (("activate", "application"), True)
        assert device.predict(rows(1)[0]).version == "1.0"
        busy.remove("activate")
        assert device.sync().update == "activated"
        assert (waits(device), device.predict(rows(1)[0]).version) == (None, "1.1")
        device.sync()
    assert [(o.step, o.version, o.serving) for o in offers] == [
        (step, "1.1", "1.0") for step in ("download", "download", "activate", "activate")
    ]
    events = hub.admin.get(f"models/{model}/telemetry")["events"]
    told = [(e["outcome"], (e["reason"] or "").partition(",")[0]) for e in events]
    assert told == [
        ("activated", ""),
        ("waiting", "download: application"),
        ("waiting", "activate: application"),
        ("activated", ""),
    ]


def test_what_waits_is_tried_again_without_asking_the_hub_for_what_it_said(
    hub: HubProcess, publish: Publish, model: str, tmp_path: Path
) -> None:
    with opened(tmp_path / "d", hub, model, on_update=lambda offer: False) as device:
        publish(model, "1.1", seed=3)
        assert device.sync().update == "waiting"
        assert device._link is not None
        syncer = device._link.syncer

        def nothing_new() -> bool:  # the hub goes on to make the forms of what was published
            before = syncer._etag
            return device.sync().update == "waiting" and syncer._etag == before

        wait_for(nothing_new, "a sync that brings nothing new")
    with opened(tmp_path / "d", hub, model) as device:  # another application
        assert device.sync().update == "activated"


def test_an_application_that_always_says_no_is_heard_for_a_week_restarts_included(
    hub: HubProcess, publish: Publish, model: str, tmp_path: Path
) -> None:
    """Its limit is an hour here: the hub's own signatures would expire within a week."""
    clock = Clock()
    config = replace(PATIENT, update_defer_seconds=3_600)
    options = {"on_update": lambda offer: False, "clock": clock, "config": config}
    with opened(tmp_path / "d", hub, model, **options) as device:
        publish(model, "1.1", seed=3)
        assert device.sync().update == "waiting"
        clock.now += 3_500
        assert device.sync().update == "waiting"
    with opened(tmp_path / "d", hub, model, **options) as device:
        assert device.sync().update == "waiting"
        clock.now += 200
        assert device.sync().update == "activated"


@pytest.mark.parametrize("answer", ["raises", "nonsense", "forever"])
def test_an_application_that_answers_nonsense_puts_off_and_is_asked_again(
    hub: HubProcess, publish: Publish, model: str, tmp_path: Path, answer: str
) -> None:
    def on_update(offer: UpdateOffer) -> Any:
        if answer == "raises":
            raise RuntimeError("a bug of the application")
        return "perhaps" if answer == "nonsense" else float("inf")

    with opened(tmp_path / "d", hub, model, on_update=on_update) as device:
        publish(model, "1.1", seed=3)
        assert (device.sync().update, waits(device)) == ("waiting", ("download", "application"))
        assert device.predict(rows(1)[0]).version == "1.0"


def test_a_window_and_a_network_that_costs_are_waited_for(
    hub: HubProcess, publish: Publish, model: str, tmp_path: Path
) -> None:
    now = datetime.datetime.now()
    later = (now + datetime.timedelta(hours=2)).strftime("%H:%M")
    end = (now + datetime.timedelta(hours=3)).strftime("%H:%M")
    config = replace(PATIENT, update_windows=(f"{later}-{end}",))
    with opened(tmp_path / "d", hub, model, config=config) as device:
        publish(model, "1.1", seed=3)
        assert (device.sync().update, waits(device)) == ("waiting", ("download", "window"))
        until = device.status()["update_waits"]["until"] - now.timestamp()
        assert 3_600 < until <= 2 * 3_600 + 60
    costs = [True]
    with opened(tmp_path / "d", hub, model, metered=lambda: costs[0]) as device:
        assert (device.sync().update, waits(device)) == ("waiting", ("download", "metered"))
        costs[0] = False
        assert device.sync().update == "activated"


def test_the_way_back_to_what_is_here_waits_for_nobody(
    hub: HubProcess, publish: Publish, model: str, tmp_path: Path
) -> None:
    answer = [True]
    with opened(tmp_path / "d", hub, model, on_update=lambda offer: answer[0]) as device:
        publish(model, "1.1", seed=3)
        assert device.sync().update == "activated"
        answer[0] = False
        hub.admin.post(f"models/{model}/promote", version="1.0")
        assert device.sync().update == "activated"
        assert device.predict(rows(1)[0]).version == "1.0"


def test_what_is_no_function_is_refused_at_once(tmp_path: Path) -> None:
    for name in ("on_update", "metered"):
        with pytest.raises(EdgeError, match=f"{name}: expected a function, got True"):
            EdgeDevice(tmp_path / "d", hub="http://127.0.0.1:9", model="m", **{name: True})
