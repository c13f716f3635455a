"""``edge``: every command on real releases, packs and a real hub; budgets and refusals."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.cli.main import main
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.writer import write_pack
from tests.edge.bench.test_bench import example
from tests.edge.builders import make_release, rows, softmax

Capture = pytest.CaptureFixture[str]


def edge(capsys: Capture, *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_row_is_answered_with_a_release_folder(tmp_path: Path, capsys: Capture) -> None:
    folder = make_release(tmp_path).folder
    code, out, _ = edge(capsys, "predict", folder, json.dumps(rows(1)[0].tolist()), "--json")
    assert code == 0
    assert np.allclose(json.loads(out)["probabilities"], softmax(rows(1), 0)[0], atol=1e-6)
    code, out, _ = edge(capsys, "predict", folder, json.dumps(rows(1)[0].tolist()))
    assert out.splitlines()[0] == f"label          {softmax(rows(1), 0)[0].argmax()}"
    assert "source         model" in out
    for row, message in (("[1]", "expected 4 features"), ("x", "expected a JSON array")):
        code, _, err = edge(capsys, "predict", folder, row)
        assert (code, message in err) == (1, True)


def test_a_pack_is_shown_checked_and_asked(tmp_path: Path, capsys: Capture) -> None:
    release = make_release(tmp_path)
    x = rows(3)
    canonicaliser = Canonicaliser(release.manifest.signature)
    keys = np.array([np.frombuffer(canonicaliser.key(row.tobytes()), np.uint8) for row in x])
    values = {"probabilities": softmax(x, 0).astype(np.float32)}
    path = tmp_path / "p.pack"
    write_pack(path, release, keys, values, answered_by="test 1.0")
    assert json.loads(edge(capsys, "pack", "info", path, "--json")[1])["count"] == 3
    assert edge(capsys, "pack", "verify", path)[1].startswith("ok: 3 entries")
    code, out, _ = edge(capsys, "pack", "verify", path, "--json")
    assert json.loads(out) == {"entries": 3, "model": "demo", "version": "1.0"}
    row = json.dumps(x[1].tolist())
    assert "probabilities" in edge(capsys, "pack", "get", path, release.folder, row)[1]
    code, out, err = edge(capsys, "pack", "get", path, release.folder, "[9, 9, 9, 9]")
    assert (code, out, err) == (1, "", "edge: the pack has no answer for this row\n")
    code, out, _ = edge(capsys, "pack", "get", path, release.folder, "[9, 9, 9, 9]", "--json")
    assert (code, out) == (1, "null\n")
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = edge(capsys, "pack", "verify", path)
    assert (code, "it is truncated" in err) == (1, True)


def test_two_packs_are_compared_and_one_is_made_of_the_other(
    tmp_path: Path, capsys: Capture
) -> None:
    release = make_release(tmp_path)
    random = np.random.default_rng(0)
    keys = random.integers(0, 256, (500, 16), dtype=np.uint8)
    values = random.random((500, 3), dtype=np.float32)
    old, new, delta, made = (tmp_path / name for name in ("old", "new", "d", "made"))
    write_pack(old, release, keys, {"probabilities": values}, answered_by="test 1.0")
    values[:7] = 1
    write_pack(new, release, keys[:490], {"probabilities": values[:490]}, answered_by="test 1.0")
    code, out, _ = edge(capsys, "pack", "diff", old, new, "--out", delta, "--json")
    difference = json.loads(out)
    counts = [difference[name] for name in ("same", "changed", "added", "removed")]
    assert (code, counts) == (0, [483, 7, 0, 10])
    assert difference["delta_bytes"] == delta.stat().st_size
    assert edge(capsys, "pack", "apply", old, delta, made)[1].startswith("ok: 490 entries")
    assert made.read_bytes() == new.read_bytes()
    code, _, err = edge(capsys, "pack", "apply", new, delta, made)
    assert (code, "made for another pack" in err) == (1, True)
    write_pack(new, release, keys, {"label": np.zeros(500, np.int32)}, answered_by="test 1.0")
    code, _, err = edge(capsys, "pack", "diff", old, new)
    assert (code, "their values are laid out differently" in err) == (1, True)


def test_an_answer_that_is_no_number_is_null(tmp_path: Path, capsys: Capture) -> None:
    folder = make_release(tmp_path, defect="nan").folder
    code, out, _ = edge(capsys, "predict", folder, "[1, 2, 3, 4]", "--json")
    assert (code, json.loads(out)["probabilities"], "NaN" in out) == (0, [None] * 3, False)


def test_two_runs_are_compared_in_json_too(tmp_path: Path, capsys: Capture) -> None:
    for name, p99 in (("a.json", 2_000.0), ("b.json", 3_000.0)):
        example(p99_us=p99).save(tmp_path / name)
    code, out, _ = edge(
        capsys, "bench", "--json", "--compare", tmp_path / "a.json", tmp_path / "b.json"
    )
    ratios = {row["what"]: row["ratio"] for row in json.loads(out)["ratios"]}
    assert (code, ratios["one row, EdgeDevice, p99"]) == (0, pytest.approx(1.5))


def test_an_expired_pack_can_be_looked_at(tmp_path: Path, capsys: Capture) -> None:
    release = make_release(tmp_path)
    values = {"probabilities": softmax(rows(1), 0).astype(np.float32)}
    path, keys = tmp_path / "old.pack", np.zeros((1, 16), np.uint8)
    write_pack(path, release, keys, values, answered_by="1.0", expires=int(time.time()) - 9)
    assert json.loads(edge(capsys, "pack", "info", path, "--json")[1])["count"] == 1
    (expires,) = re.findall(
        r"^expires +(\S+)$", edge(capsys, "pack", "info", path)[1], re.MULTILINE
    )
    assert datetime.fromisoformat(expires).timestamp() == pytest.approx(time.time() - 9, abs=60)
    assert edge(capsys, "pack", "verify", path)[0] == 1


NOBODY = "http://127.0.0.1:9"
REFUSED: dict[str, tuple[str, str]] = {
    "a release that is not there": ("predict nowhere [1]", "expected a release folder"),
    "a release that is a file": ("predict text [1]", "text: expected a release folder"),
    "a release without its files": (
        "predict torn [1,2,3,4]",
        "certificate.json: No such file",
    ),
    "a manifest that is no JSON": (
        "predict garbled [1]",
        "manifest.json: Manifest: expected",
    ),
    "a row that is none": ("predict release {", "expected a JSON array or object, got '{'"),
    "a row without end": ("predict release " + "[" * 100_000, "expected a JSON array or object"),
    "a row that is a number": ("predict release 5", "expected a row of 4 features, got int"),
    "a number beyond all": ("predict release [1,2,3,1e999]", "'f3': expected a finite number"),
    "a pack that is not there": (
        "pack info nowhere",
        "cannot open the pack; No such file",
    ),
    "a pack that is a folder": ("pack verify release", "cannot open the pack; Is a directory"),
    "a pack that is empty": ("pack info empty", "expected at least 20 bytes, got 0"),
    "a delta to nowhere": ("pack apply a.pack text out", "text: cannot read the delta"),
    "a state that is a file": (f"status text --hub {NOBODY}", "no device is enrolled here"),
    "a state that is not there": (f"sync nowhere --hub {NOBODY}", "begin with edge enrol nowhere"),
    "a run without a device": (f"run nowhere --hub {NOBODY}", "no device is enrolled here"),
    "a hub with a path": (
        "enrol d --hub http://h:1/v1 --token t --model m",
        "expected a URL without a path, got 'http://h:1/v1'; leave out what follows http://h:1",
    ),
    "rows that are not finite": ("bench release --rows nan.npy", "NaN or infinity in 1 of 2 rows"),
    "rows under another name": ("bench release --rows y.npz", "missing; it has ['y']"),
    "a hub that is none": ("enrol d --hub hub --token t --model m", "hub: expected a URL such as"),
    "a hub that is away": (f"enrol d --hub {NOBODY} --token t --model m", "Connection refused"),
    "a name that is none": (f"enrol d --hub {NOBODY} --token t --model A!", "model: expected 1 to"),
    "nothing to measure": ("bench", "expected a release folder or an .onnx file"),
    "what cannot be measured": ("bench text", "text: onnxruntime cannot load it"),
    "figures to nowhere": ("bench release --json no/x", "no/x: cannot write it; No such file"),
    "tables into a folder": ("bench release --markdown torn", "torn: cannot write it; Is a dir"),
    "a plot of another kind": (
        "bench release --plot x.gif",
        "x.gif: expected a plot as .html",
    ),
    "rows that are not there": (
        "bench release --rows no",
        "expected rows as .npy or .npz; No",
    ),
    "rows that are none": ("bench release --rows text", "expected rows as .npy or .npz; this is"),
    "runs that are none": ("bench --compare text text", "text: expected the JSON of a benchmark"),
    "a comparison and a run": (
        "bench release --compare a b",
        "--compare: expected two runs and",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_command_cannot_do_it_says_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    release = make_release(tmp_path / "made").folder.rename(tmp_path / "release")
    (tmp_path / "text").write_text("this is a text\n" * 9)
    (tmp_path / "empty").touch()
    np.save(tmp_path / "nan.npy", np.array([[1, 2, 3, np.nan], [1, 2, 3, 4]], np.float32))
    np.savez(tmp_path / "y.npz", y=rows(2))
    for broken in ("torn", "garbled"):
        (tmp_path / broken).mkdir()
    (tmp_path / "torn" / "manifest.json").write_bytes((release / "manifest.json").read_bytes())
    (tmp_path / "garbled" / "manifest.json").write_text('{"a":')
    keys, values = np.zeros((1, 16), np.uint8), {"probabilities": np.ones((1, 3), np.float32)}
    write_pack(tmp_path / "a.pack", Release.open(release), keys, values, answered_by="1.0")
    before = {path.name for path in tmp_path.iterdir()}
    command, message = REFUSED[what]
    code, out, err = edge(capsys, *command.split(" "))
    assert (code, out) == (1, "")
    assert err.startswith("edge: ")
    assert err.count("\n") == 1
    assert message in err
    assert "tmp/" not in err.replace(str(tmp_path), ""), "no temporary file is named"
    left = {path.name for path in tmp_path.iterdir()} - before
    assert left <= ({"d"} if NOBODY in command else set()), "where it would join there is a folder"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("enrol", "d", "--hub", NOBODY, "--token", "t", "--model", "m", "--attribute", "eu"),
         "--attribute: expected NAME=VALUE, got 'eu'"),
        (("bench", "release", "--max-p99-ms", "-1"), "--max-p99-ms: expected a number of"),
        (("bench", "release", "--max-rss-mb", "nan"), "--max-rss-mb: expected a number of"),
        (("bench", "release", "--max-rss-mb", "much"), "--max-rss-mb: expected a number of"),
        (("run", "d", "--log-level", "loud"), "--log-level: invalid choice: 'loud'"),
        (("pack",), "the following arguments are required: WHAT"),
        ((), "the following arguments are required: COMMAND"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2_before_anything_is_done(
    words: tuple[str, ...], message: str, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert (end.value.code, message in capsys.readouterr().err) == (2, True)
