"""Versions of training code: noted with each run, and gone back to."""

from __future__ import annotations

import os
import sys
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.hub import Hub
from cloud_hub.runs.code import tree
from cloud_hub.runs.code.environment import differences
from cloud_hub.runs.code.tree import read_code, unpack
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import finish, let_read, request

TRAIN = """
from pathlib import Path

from sklearn.linear_model import LogisticRegression

def train(context):
    print("code {number}", Path(__file__).with_name("requirements.lock").read_text())
    return LogisticRegression(max_iter=300).fit(context.fresh.X, context.fresh.y)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = tmp_path / "training"
    code.mkdir()
    (code / "model_code.py").write_text(TRAIN.format(number=1))
    (code / "requirements.lock").write_text("numpy==1.26.4\n")
    let_read(code)
    return code


def test_the_digest_is_of_the_files_and_of_the_call_and_nothing_else(folder: Path) -> None:
    first = read_code(folder, "model_code:train", None)
    os.utime(folder / "model_code.py", (1, 1))
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_text("other")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "model_code.cpython-311.pyc").write_bytes(b"other")
    same = read_code(folder, "model_code:train", None)
    assert same.digest == first.digest
    assert same.to_zip() == first.to_zip()
    assert read_code(folder, "model_code:other", None).digest != first.digest
    (folder / "requirements.lock").write_text("numpy==2.0\n")
    other = read_code(folder, "model_code:train", None)
    assert other.digest != first.digest
    assert other.lock != first.lock != ""


def test_links_are_not_followed_and_no_code_is_too_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = folder.parent / "admin.token"
    secret.write_text("secret")
    (folder / "link.py").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    found = read_code(folder, "model_code:train", None)
    assert sorted(found.files) == ["code/model_code.py", "code/requirements.lock"]
    assert found.left_out == 2
    assert b"secret" not in found.to_zip()
    monkeypatch.setattr(tree, "MOST_BYTES", 100)
    with pytest.raises(Invalid, match="expected a folder of training code"):
        read_code(folder, "model_code:train", None)


def test_data_beside_the_code_is_left_out_where_there_is_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MOST_BYTES", 1_000)
    (folder / "rows.parquet").write_bytes(b"x" * 2_000)
    found = read_code(folder, "model_code:train", None)
    assert (len(found.files), found.left_out) == (2, 1)


def test_files_that_a_command_names_are_code_too(folder: Path, tmp_path: Path) -> None:
    script = folder / "model_code.py"
    alone = read_code(None, None, [sys.executable, str(script)])
    assert alone.command == (sys.executable, "{code}/named/1/model_code.py")
    below = read_code(folder, None, [sys.executable, str(script), "--fast"])
    assert below.command == (sys.executable, "{code}/code/model_code.py", "--fast")
    unpack(below.to_zip(), tmp_path / "kept")
    assert (tmp_path / "kept" / "code" / "model_code.py").read_text() == script.read_text()


def test_packages_of_another_version_are_named() -> None:
    assert differences({"a": "1", "b": "2"}, {"b": "3", "c": "1"}) == (
        "a 1 -> absent", "b 2 -> 3", "c absent -> 1",
    )  # fmt: skip


def ended(hub: Hub) -> str:
    run = request(hub)
    assert run.status == "experiment", run.reason
    hub.experiments.stop(run.experiment or "", actor="me", reason="next")
    hub.runs.tick(time.time())  # a run that is asked for now would join this one
    return hub.runs.log(run.id, "train")


def test_going_back_trains_with_the_kept_files_until_the_policy_is_followed_again(
    ready: Ready, folder: Path
) -> None:
    hub = ready(how="entry: model_code:train", path=folder)
    assert "code 1 numpy==1.26.4" in ended(hub)
    (folder / "model_code.py").write_text(TRAIN.format(number=2))
    (folder / "requirements.lock").write_text("numpy==2.0\n")
    assert "code 2 numpy==2.0" in ended(hub)
    first, second = hub.pipelines.versions("demo")
    assert (first.number, second.number) == (1, 2)
    hub.pipelines.hold("demo", 1, actor="me", reason="2 leaks")
    (folder / "model_code.py").unlink()  # what is gone is kept
    assert "code 1 numpy==1.26.4" in ended(hub)
    assert hub.runs.records("demo")[-1].pipeline == 1
    kept = zipfile.ZipFile(BytesIO(hub.pipelines.files(first)))
    assert "code/requirements.lock" in kept.namelist()
    (folder / "model_code.py").write_text(TRAIN.format(number=3))
    let_read(folder)
    hub.pipelines.follow("demo", actor="me", reason="mended")
    assert "code 3" in ended(hub)
    with pytest.raises(NotFound, match="is not held"):
        hub.pipelines.follow("demo", actor="me", reason="again")
    with pytest.raises(NotFound, match="has no pipeline 9"):
        hub.pipelines.hold("demo", 9, actor="me", reason="no")
    changed = {
        (v.name, v.before, v.after) for v in hub.past_runs.compare(1, 2).values if not v.same
    }
    assert ("pipeline", 1, 2) in changed
    assert any(name == "file code/model_code.py" for name, _, _ in changed)


UNKNOWN = (
    TRAIN.replace("    return LogisticRegression", "    return Unknown")
    + """
class Unknown(LogisticRegression):
    def predict(self, X):
        return 1 - super().predict(X)
"""
)


def test_a_conversion_that_is_resumed_names_the_code_that_had_trained(
    ready: Ready, folder: Path
) -> None:
    (folder / "model_code.py").write_text(UNKNOWN.format(number=1))
    hub = ready(how="entry: model_code:train", path=folder)
    run = request(hub)
    assert (run.status, run.pipeline) == ("failed", 1), run.reason
    (folder / "model_code.py").write_text(UNKNOWN.format(number=2))
    said = hub.past_runs.resume(run.id, actor="me", begin="convert")
    assert said.begin == "convert"
    again = finish(hub)
    assert (again.attempts, again.pipeline) == (2, 1), again.reason
    hub.past_runs.resume(run.id, actor="me")
    assert hub.runs.get(run.id).reason == "taken up at train: code of train changed"
