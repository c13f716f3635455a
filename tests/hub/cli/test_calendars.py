"""``edge-hub calendar`` against a hub over HTTP, and policies that name iCalendar files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from tests.edge.builders import make_release
from tests.servers import HubProcess, running_hub

ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:x
BEGIN:VEVENT
UID:1
SUMMARY:Sale
DTSTART;VALUE=DATE:20241129
RRULE:FREQ=YEARLY
END:VEVENT
END:VCALENDAR
"""
POLICY = """model: demo
calendar:
  time_zone: Europe/Berlin
  days:
  - {name: sale, file: shop.ics}
  - {name: now, dates: ["%s"], days: 3}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    folder = tmp_path_factory.mktemp("calendar")
    release = make_release(folder / "made")
    with running_hub(folder, tick=0) as running:
        running.admin.publish(release.folder, running.key)
        running.admin.post("models/demo/promote", version="1.0")
        yield running


def command(hub: HubProcess, *words: str) -> int:
    token = (hub.data / "admin.token").read_text()
    return main([*words, "--hub", hub.url, "--token", token])


def apply(hub: HubProcess, folder: Path, ics: str) -> int:
    yesterday = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
    (folder / "policy.yaml").write_text(POLICY % yesterday)
    (folder / "shop.ics").write_text(ics)
    return command(hub, "policy", "apply", str(folder / "policy.yaml"))


def test_days_of_a_file_are_shown_and_a_bad_file_leaves_them_as_they_are(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(hub, tmp_path, ICS) == 0
    capsys.readouterr()
    assert command(hub, "calendar", "show", "demo", "--json") == 0
    before = json.loads(capsys.readouterr().out)
    assert [day["day"] for day in before["open"]] == ["now"]
    assert before["next"][0]["date"].endswith("-11-29")
    for bad in ("", ICS[:90], ICS.replace("YEARLY", "SECONDLY;UNTIL=21240101"), "x" * 500_000):
        assert apply(hub, tmp_path, bad) == 1
        told = capsys.readouterr().err
        assert "policy.yaml:3: calendar: days[sale]: " in told or "policy.yaml:5: " in told, told
        assert "file" in told
    assert command(hub, "calendar", "show", "demo", "--json") == 0
    assert json.loads(capsys.readouterr().out) == before


def test_what_was_not_trained_on_a_rare_day_cannot_be_kept(
    hub: HubProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(hub, "calendar", "keep", "demo", "1.0", "--reason", "mine") == 1
    assert "demo 1.0: was not trained on a rare day" in capsys.readouterr().err
