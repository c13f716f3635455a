"""A month that a device answered in a minute, in a hub."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_hub.cli.main import main as edge_hub
from cloud_hub.errors import IdentityStopped
from cloud_hub.hub import Hub
from cloud_hub.telemetry.replays import replayed_messages
from edge_sdk.cli.main import main as edge
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    Message,
    UpdateEvent,
    Upload,
    kind_of,
)
from edge_sdk.contract.window import Window
from tests.conftest import Publish
from tests.edge.builders import rows, softmax
from tests.servers import HubProcess

DAY = 86_400


def replayed(tmp_path: Path, folder: Path, days: int) -> Path:
    """Reports of the last ``days`` days, ten requests an hour with labels."""
    begin = int(time.time()) // 3_600 * 3_600 - days * DAY
    x = rows(days * 240)
    labels = softmax(x, 0).argmax(axis=1)
    lines = [
        json.dumps({"at": begin + i * 360, "row": row.tolist(), "label": int(label)})
        for i, (row, label) in enumerate(zip(x, labels, strict=True))
    ]
    history, out = tmp_path / "history.jsonl", tmp_path / "history.reports"
    history.write_text("\n".join(lines))
    arguments = [str(folder), str(history), "--out", str(out), "--window", "3600", "--least", "10"]
    assert edge(["replay", *arguments]) == 0
    return out


def imported(
    hub: HubProcess, capsys: pytest.CaptureFixture[str], model: str, file: Path, name: str
) -> tuple[int, str, str]:
    capsys.readouterr()
    at = ["--data", str(hub.data)]
    code = edge_hub(["telemetry", "import", model, str(file), "--as", name, "--json", *at])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_replayed_month_is_in_the_hub_once_and_can_be_forgotten(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = replayed(tmp_path, publish("past").folder, days=30)
    count = len(file.read_text().splitlines())
    code, out, _ = imported(hub, capsys, "past", file, "june")
    said = json.loads(out)
    assert (code, said["device"], said["rejected"], said["reasons"]) == (0, "replay-june", 0, [])
    assert said["accepted"] == count
    again = json.loads(imported(hub, capsys, "past", file, "june")[1])
    assert (again["accepted"], again["duplicates"]) == (0, count)

    telemetry = hub.admin.get("models/past/telemetry", seconds=31 * DAY)
    assert telemetry["devices"] == {"replay-june": 7_200}
    windows = telemetry["windows"]
    assert sum(window["own_labelled"] for window in windows) == 7_200
    assert min(window["start"] for window in windows) < time.time() - 29 * DAY

    assert [d["device"] for d in hub.admin.get("devices", model="past")] == ["replay-june"]
    hub.admin.post("devices/replay-june/forget", reason="tried")
    assert hub.admin.get("models/past/telemetry", seconds=31 * DAY)["devices"] == {}


def test_replays_of_two_models_may_have_one_name_and_other_files_are_refused(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = replayed(tmp_path, publish("one").folder, days=1)
    other = tmp_path / "other"
    other.mkdir()
    second = replayed(other, publish("two").folder, days=1)
    assert imported(hub, capsys, "one", file, "both")[0] == 0
    said = json.loads(imported(hub, capsys, "two", file, "other")[1])
    assert (said["accepted"], "belongs to two, not to one" in said["reasons"][0]) == (0, True)
    said = json.loads(imported(hub, capsys, "two", second, "both")[1])
    assert (said["rejected"], said["device"]) == (0, "replay-both")
    of_both = {d["model"] for d in hub.admin.get("devices") if d["device"] == "replay-both"}
    assert of_both == {"one", "two"}
    for model in of_both:
        assert hub.admin.get(f"models/{model}/telemetry")["devices"] == {"replay-both": 240}
    bad = tmp_path / "bad"
    bad.write_text("no JSON\n")
    code, _, error = imported(hub, capsys, "one", bad, "bad")
    assert (code, "JSON" in error) == (1, True)


def test_a_replay_is_no_part_of_experiments_and_one_that_was_revoked_is_refused(
    serving: Hub,
) -> None:
    made = serving.fleet.replayed.get("demo", "june", 5.0, actor="ann")
    assert (made.device, made.models) == ("replay-june", ("demo",))
    assert [d.device for d in serving.fleet.devices("demo")] == ["replay-june"]
    assert serving.fleet.participants("demo") == []
    entries = [e for e in serving.audit.entries("demo") if e.action == "import"]
    assert [(e.actor, e.detail) for e in entries] == [("ann", {"device": "replay-june"})]
    serving.fleet.identities.revoke("replay-june", reason="wrong file", actor="ann")
    with pytest.raises(IdentityStopped):
        serving.fleet.replayed.get("demo", "june", 5.0, actor="ann")


def test_messages_that_no_replay_makes_are_refused_and_the_others_count() -> None:
    hour = Window("demo", "1.0", 7_200, 10_800)
    bodies: list[Body] = [
        FeedbackReport(hour, 9, 9, 9, 9),
        FeedbackReport(replace(hour, experiment="demo-canary-1", arm="candidate"), 9, 9, 9, 9),
        UpdateEvent("demo", "failed", "1.0", 7_200),
        FeedbackReport(replace(hour, start=3_600, end=7_200), 9, 9, 9, 9),
    ]
    messages = [Message("b", i, kind_of(b), to_plain(b)) for i, b in enumerate(bodies, 1)]
    messages.append(Message("b", 5, "window", {}))
    kept = replayed_messages(Upload(tuple(messages)), now=1e6)
    assert [m.sequence for m in kept.upload.messages] == [1, 4, 5]
    assert [r.sequence for r in kept.refused] == [2, 3]
    assert kept.begin == 3_600
    assert replayed_messages(Upload(()), now=1e6).begin == 1e6
