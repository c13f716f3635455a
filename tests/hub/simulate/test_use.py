"""``edge-hub simulate`` as people use it: files in, text, JSON and a page out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import insert

from cloud_hub.cli.main import main
from cloud_hub.database.engine import connect, metadata
from cloud_hub.errors import Invalid
from cloud_hub.fleet.tables import devices
from cloud_hub.settings import Settings
from cloud_hub.simulate.recorded import (
    RecordedWindow,
    read_recorded,
    recorded_by,
    with_recorded,
)
from cloud_hub.telemetry.tables import feedback, reports
from tests.hub.simulate.scenarios import CANARY, FLEET, fleet

HEADER = "device,start,version,predictions,errors,labelled,correct,attribute:region"
POLICY = "model: fleet\nexperiment: {steps: [0.5, 1.0], soak: 2h, margin: 0.1}\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    bad = FLEET.replace("released: 1d", "released: 1d, cohorts: {us: {accuracy: 0.5}}")
    (tmp_path / "fleet.yaml").write_text(bad.replace("3d", "36h"))
    (tmp_path / "canary.yaml").write_text(CANARY)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def test_text_tells_the_story_and_the_load(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", str(files / "fleet.yaml"), "--experiment", str(files / "canary.yaml")]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "first experiment: aborted at 30% of region=us" in told
    assert "device-hours where it was worse" in told
    assert "60 devices online at the peak / 600 s" in told


def test_two_policies_stand_side_by_side_in_json_and_on_a_page(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = files / "page.html"
    words = ["simulate", str(files / "fleet.yaml"), "--policy", str(files / "policy.yaml"),
             "--against-experiment", str(files / "canary.yaml"), "--page", str(page),
             "--repeat", "2", "--seed", "4"]  # fmt: skip
    assert main([*words, "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out)["simulations"]
    assert one["first"]["end"].endswith("of everybody")
    assert other["first"]["end"].endswith("of region=us")
    assert sum(end["count"] for end in one["ends"]) == 2
    assert other["harm"]["device_hours"] < one["harm"]["device_hours"]
    html = page.read_text()
    assert html.count("<svg") == 4
    assert "Outcomes under other seeds" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert main(words[:-4]) == 0
    assert "side by side:" in capsys.readouterr().out


def test_seeds_side_by_side_come_to_the_same(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", str(files / "fleet.yaml"), "--repeat", "3", "--json"]
    assert main(words) == 0
    in_turn = capsys.readouterr().out
    assert main([*words, "--processes", "2"]) == 0
    assert capsys.readouterr().out == in_turn


def test_a_mistake_ends_with_status_1_and_its_line(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "fleet.yaml").write_text(FLEET + "speed: 3\n")
    assert main(["simulate", str(files / "fleet.yaml")]) == 1
    assert "fleet.yaml" in capsys.readouterr().err


def recorded() -> list[RecordedWindow]:
    """Forty devices for two days; eu gets worse on the second, and 1.0 never ran in us there."""
    rows = []
    for i in range(40):
        region = ("region", "eu" if i < 20 else "us")
        version = "1.0" if i < 20 else "0.9"
        for hour in range(48):
            right = 8 if hour >= 24 and i < 20 else 9
            window = (f"x{i}", 1_000_000.0 + 3_600 * hour, version, 20, i % 2, 10, right)
            rows.append(RecordedWindow(*window, (region,)))
    return rows


def test_a_recorded_fleet_is_replayed_and_what_it_cannot_say_is_said() -> None:
    known, unknown = with_recorded(fleet(), recorded())
    assert known.devices == 40
    assert [(c.name, c.share, round(c.requests or 0, 2)) for c in known.cohorts] == [
        ("eu", 0.5, 20.08), ("us", 0.5, 20.08),
    ]  # fmt: skip
    assert known.labels.coverage == 0.5
    serving = known.version("1.0")
    assert serving is not None
    assert serving.of("eu")[0] == pytest.approx(0.85)
    [first, second] = serving.changes
    assert (first.accuracy, second.accuracy) == pytest.approx((0.05, -0.1))
    assert "1.1 never ran: how good it is is as the scenario says" in unknown
    assert "1.0 never ran in us: there it is as the scenario says" in unknown
    with pytest.raises(Invalid, match="there are none"):
        with_recorded(fleet(), [])


def test_a_file_and_a_hub_say_the_same(tmp_path: Path) -> None:
    rows = recorded()
    lines = [
        ",".join(map(str, (r.device, r.start, r.version, r.predictions, r.errors, r.labelled,
                           r.correct, r.attributes[0][1])))
        for r in rows
    ]  # fmt: skip
    (tmp_path / "windows.csv").write_text("\n".join([HEADER, *lines]))
    assert read_recorded(tmp_path / "windows.csv") == rows
    _fill(tmp_path, rows)
    engine = connect(Settings(tmp_path))
    assert sorted(map(repr, recorded_by(engine, "fleet"))) == sorted(map(repr, rows))
    engine.dispose()


def _fill(data: Path, rows: list[RecordedWindow]) -> None:
    engine = connect(Settings(data))
    metadata.create_all(engine, [devices, reports, feedback])
    told, labels = [], []
    for row in rows:
        shared = {"device": row.device, "model": "fleet", "version": row.version,
                  "arm": "control", "start": row.start, "body": {}}  # fmt: skip
        end = {"end": row.start + 3_600, "observations": row.predictions}
        told.append({**shared, **end, "predictions": row.predictions, "failures": row.errors})
        counts = {"labelled": row.labelled, "correct": row.correct}
        labels.append({**shared, **counts, **{f"own_{name}": n for name, n in counts.items()}})
    people = [
        {"device": name, "model": "fleet", "attributes": dict(attributes), "enrolled_at": 0,
         "seen_at": 0, "failed": {}, "software": {}}
        for name, attributes in {(r.device, r.attributes) for r in rows}
    ]  # fmt: skip
    with engine.begin() as db:
        db.execute(insert(reports), told)
        db.execute(insert(feedback), labels)
        db.execute(insert(devices), people)
    engine.dispose()


def test_a_recording_with_a_mistake_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "windows.csv"
    file.write_text(f"{HEADER}\nd,0,1.0,5,0,1,2,eu\n")
    with pytest.raises(Invalid, match="windows.csv:2: expected counts from 0, correct up to"):
        read_recorded(file)
    file.write_text("device,start\n")
    with pytest.raises(Invalid, match="are missing"):
        read_recorded(file)
