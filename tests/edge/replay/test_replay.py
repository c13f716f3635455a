"""A history through a release, with its own clock."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.cli.main import main
from edge_sdk.contract.messages import FeedbackReport, Message, WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.device import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.replay.history_file import boot_of, read_history
from edge_sdk.replay.past import Past
from edge_sdk.replay.replaying import HistoryReplay
from tests.edge.builders import make_release, rows, softmax

BEGIN = 1_767_225_600.0  # 2026-01-01
HOUR = 3_600.0
HOURLY = Reporting(3_600, 10)


def june(days: int, an_hour: int = 10) -> Iterator[Past]:
    """Rows of so many days, evenly in time; each gets its label a day later."""
    x = rows(days * 24 * an_hour)
    labels = softmax(x, 0).argmax(axis=1)
    for i, (row, label) in enumerate(zip(x, labels, strict=True)):
        at = BEGIN + i * HOUR / an_hour
        yield Past(at, row, int(label), at + 24 * HOUR)


def test_a_month_becomes_the_windows_that_it_would_have_had(tmp_path: Path) -> None:
    replay = HistoryReplay(make_release(tmp_path).folder, june(30), reporting=HOURLY)
    bodies = list(replay)
    windows = [b for b in bodies if isinstance(b, WindowReport)]
    assert [w.window.start for w in windows] == [int(BEGIN + i * HOUR) for i in range(720)]
    assert [sum(w.predictions.values()) for w in windows] == [10] * 720
    assert [w.lost for w in windows] == [{}] * 720
    feedback = [b for b in bodies if isinstance(b, FeedbackReport)]
    assert sum(f.labelled for f in feedback) == sum(f.correct for f in feedback) == 7_200
    # Labels that came a day later are reported then, of the window of their predictions.
    first = bodies.index(feedback[0])
    assert isinstance(bodies[first - 1], WindowReport)
    assert bodies[first - 1].window.start - feedback[0].window.start >= 23 * HOUR
    assert vars(replay.counts) == {
        "answered": 7_200, "refused": 0, "labelled": 7_200, "unmatched": 0, "first": None,
    }  # fmt: skip


def test_a_hundred_thousand_rows_in_one_window_lose_none(tmp_path: Path) -> None:
    x = rows(50)
    history = (Past(BEGIN + i / 1e3, x[i % 50]) for i in range(100_000))
    windows = [
        b
        for b in HistoryReplay(make_release(tmp_path).folder, history, reporting=HOURLY)
        if isinstance(b, WindowReport)
    ]
    assert sum(sum(w.predictions.values()) for w in windows) == 100_000
    assert all(not w.lost for w in windows)


def test_rows_that_do_not_fit_are_counted_and_the_others_go_on(tmp_path: Path) -> None:
    history = [Past(BEGIN, [1, 2, 3, 4], 0), Past(BEGIN, [1, 2]), Past(BEGIN, [1, 2, 3, 4], 99)]
    replay = HistoryReplay(make_release(tmp_path).folder, history)
    (window, *_) = [b for b in replay if isinstance(b, WindowReport)]
    assert window.errors == {"shape": 1, "label": 1}
    assert (replay.counts.answered, replay.counts.refused, replay.counts.unmatched) == (2, 1, 1)
    assert "expected 4 features, got 2" in str(replay.counts.first)


@pytest.mark.parametrize("at", [BEGIN - 7_200, float("nan")])
def test_a_history_out_of_order_is_refused_with_its_row(tmp_path: Path, at: float) -> None:
    history = [Past(BEGIN, [1, 2, 3, 4]), Past(at, [1, 2, 3, 4])]
    with pytest.raises(InputError, match="row 1: expected a time from 1767225600 on"):
        list(HistoryReplay(make_release(tmp_path).folder, history))


@pytest.mark.parametrize("late", [float("inf"), float("nan"), 1e300])
def test_a_label_of_no_time_is_refused_with_its_row(tmp_path: Path, late: float) -> None:
    history = [Past(BEGIN, [1, 2, 3, 4]), Past(BEGIN, [1, 2, 3, 4], 1, late)]
    with pytest.raises(InputError, match="row 1: expected labelled_at in Unix seconds"):
        list(HistoryReplay(make_release(tmp_path).folder, history))


def lines_of(history: Iterator[Past]) -> list[dict[str, Any]]:
    return [
        {
            "at": p.at,
            "row": np.asarray(p.x).tolist(),
            "label": p.label,
            "labelled_at": p.labelled_at,
        }
        for p in history
    ]


def test_edge_replay_writes_the_same_file_for_the_same_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = make_release(tmp_path)
    history = tmp_path / "h.jsonl"
    history.write_text("\n".join(map(json.dumps, lines_of(june(2)))))
    names = []
    for _ in range(2):
        out = tmp_path / "out"
        arguments = [str(release.folder), str(history), "--out", str(out), "--window", "3600"]
        assert main(["replay", *arguments, "--least", "10", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        messages = [Message(**json.loads(line)) for line in out.read_text().splitlines()]
        assert said["reports"] == len(messages)
        assert said["labelled"] == 480
        assert isinstance(messages[0].open(), WindowReport)
        names.append([(message.boot, message.sequence) for message in messages])
    assert names[0] == names[1]


def test_other_windows_or_another_pack_make_another_replay(tmp_path: Path) -> None:
    """Under one name a hub would take the second for the first, and drop it."""
    history, pack = tmp_path / "h", tmp_path / "p"
    history.write_text("h")
    pack.write_text("p")
    names = {
        boot_of("0" * 64, HOURLY, [history]),
        boot_of("0" * 64, HOURLY, [history, pack]),
        boot_of("0" * 64, Reporting(60, 10), [history]),
        boot_of("1" * 64, HOURLY, [history]),
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("h.jsonl", '{"at": 5, "row": [1]}\n\n{"at": 6}\n', 3),
        ("h.jsonl", '{"at": 5, "row": [1]}\n\n{', 3),
        ("h.csv", "at,label\n5,1\nsoon,1\n", 3),
        ("h.csv", "at,label\n5,1\n6,many\n", 3),
    ],
)
def test_the_line_that_is_named_is_the_one_that_is_wrong(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    signature = make_release(tmp_path).manifest.signature
    (tmp_path / name).write_text(text)
    history = read_history(tmp_path / name, signature)
    assert next(history).at == 5
    with pytest.raises(InputError, match=f"line {line}:"):
        next(history)


def test_a_csv_is_a_history_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = tmp_path / "h.csv"
    with history.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["at", "f0", "f1", "f2", "f3", "label"])
        for past in itertools.islice(june(1), 50):
            writer.writerow(["2026-01-01T00:00:00Z", *past.x.tolist(), past.label])
    assert main(["replay", str(make_release(tmp_path).folder), str(history), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["answered"], said["labelled"], said["refused"]) == (50, 50, 0)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"at": "soon", "row": [1]}', '{"at": 1, "row": 5}', '{"row": [1]}',
     '{"at": 1e400, "row": [1, 2, 3, 4]}', '{"at": null, "row": []}', "\x00", "[" * 99_999],
)  # fmt: skip
def test_a_line_that_is_none_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    history, out = tmp_path / "h.jsonl", tmp_path / "out"
    history.write_text('{"at": 5, "row": [1, 2, 3, 4]}\n' + line + "\n")
    code = main(["replay", str(make_release(tmp_path).folder), str(history), "--out", str(out)])
    error = capsys.readouterr().err
    assert (code, out.exists()) == (1, False)
    assert "line 2" in error or "row 1" in error or "at" in error


def test_windows_of_a_device_without_a_hub_are_as_long_as_it_is_told(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    clock = iter(itertools.count(BEGIN, 30.0)).__next__
    with EdgeDevice.offline(
        folder, clock=clock, reporting=Reporting(600, 5), background=False
    ) as device:
        for row in rows(60):
            device.predict(row)
        lengths = {b.window.end - b.window.start for b in device.reports()}  # type: ignore[union-attr]
    assert lengths == {600}
    with pytest.raises(InputError, match="reporting: expected Reporting"):
        EdgeDevice.offline(folder, reporting=600)  # type: ignore[arg-type]
