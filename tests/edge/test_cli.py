"""``edge``: every command on real releases, packs and a real hub; budgets and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.cli import main
from edge_sdk.keys import Canonicaliser
from edge_sdk.pack_writer import write_pack
from tests.conftest import Publish
from tests.edge.builders import make_release, rows, softmax
from tests.servers import HubProcess

Capture = pytest.CaptureFixture[str]


def edge(capsys: Capture, *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_device_enrols_syncs_and_says_how_it_is(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: Capture
) -> None:
    publish("cli")
    state = tmp_path / "d"
    options = ("--token", hub.token("cli"), "--model", "cli", "--attribute", "region=eu")
    code, out, _ = edge(capsys, "enrol", state, "--hub", hub.url, *options)
    assert (code, json.loads(out)["version"]) == (0, "1.0")
    code, out, _ = edge(capsys, "sync", state, "--hub", hub.url)
    assert (code, json.loads(out)["errors"]) == (0, {})
    code, out, _ = edge(capsys, "status", state, "--hub", "http://127.0.0.1:9")
    assert (code, json.loads(out)["model"]) == (0, "cli")
    code, out, _ = edge(capsys, "sync", state, "--hub", "http://127.0.0.1:9")
    assert code == 1


def test_a_row_is_answered_with_a_release_folder(tmp_path: Path, capsys: Capture) -> None:
    folder = make_release(tmp_path).folder
    code, out, _ = edge(capsys, "predict", folder, json.dumps(rows(1)[0].tolist()))
    assert code == 0
    assert np.allclose(json.loads(out)["probabilities"], softmax(rows(1), 0)[0], atol=1e-6)
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
    assert json.loads(edge(capsys, "pack", "info", path)[1])["count"] == 3
    assert edge(capsys, "pack", "verify", path)[1].startswith("ok: 3 entries")
    row = json.dumps(x[1].tolist())
    assert "probabilities" in edge(capsys, "pack", "get", path, release.folder, row)[1]
    assert edge(capsys, "pack", "get", path, release.folder, "[9, 9, 9, 9]")[0] == 1
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = edge(capsys, "pack", "verify", path)
    assert (code, "it is torn" in err) == (1, True)


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
    code, out, _ = edge(capsys, "pack", "diff", old, new, "--out", delta)
    said = json.loads(out)
    counts = [said[name] for name in ("same", "changed", "added", "removed")]
    assert (code, counts) == (0, [483, 7, 0, 10])
    assert said["delta_bytes"] == delta.stat().st_size
    assert edge(capsys, "pack", "apply", old, delta, made)[1].startswith("ok: 490 entries")
    assert made.read_bytes() == new.read_bytes()
    code, _, err = edge(capsys, "pack", "apply", new, delta, made)
    assert (code, "made for another pack" in err) == (1, True)
    write_pack(new, release, keys, {"label": np.zeros(500, np.int32)}, answered_by="test 1.0")
    code, _, err = edge(capsys, "pack", "diff", old, new)
    assert (code, "their values are laid out differently" in err) == (1, True)
