"""``edge`` at a real hub: enrol, sync, status, run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.cli.main import main
from tests.conftest import Publish
from tests.edge.builders import rows, softmax
from tests.processes.ready import run_ready
from tests.servers import HubProcess
from tests.waiting import PATIENCE

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
    code, out, _ = edge(capsys, "enrol", state, "--hub", hub.url, *options, "--json")
    assert (code, json.loads(out)["version"]) == (0, "1.0")
    for where in ((), ("--hub", hub.url)):  # it knows its hub
        code, out, _ = edge(capsys, "sync", state, *where, "--json")
        assert (code, json.loads(out)["errors"]) == (0, {})
    code, out, _ = edge(capsys, "status", state, "--hub", "http://127.0.0.1:9", "--json")
    assert (code, json.loads(out)["model"]) == (0, "cli")
    code, out, _ = edge(capsys, "status", state)
    words, _, figures = out.partition("\n\n")
    assert words.startswith("cli 1.0 serves (variant float32).\nThe hub last answered ")
    facts = dict(line.split("  ", 1) for line in figures.splitlines())
    assert (facts["model"].strip(), facts["offline"].strip()) == ("cli", "no")
    code, out, _ = edge(capsys, "sync", state, "--hub", "http://127.0.0.1:9")
    assert (code, "errors.plan" in out) == (1, True)


def test_rows_from_standard_input_are_answered_one_by_one_whatever_they_are(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: Capture
) -> None:
    publish("piped")
    state = tmp_path / "d"
    options = ("--token", hub.token("piped"), "--model", "piped")
    assert edge(capsys, "enrol", state, "--hub", hub.url, *options)[0] == 0
    good = json.dumps(rows(1)[0].tolist()).encode()
    lines = [good, b"", b"[1]", b"\xff", b"[" * 100_000, b"[1, 2, 3, NaN]", b'{"f0": 1}', good]
    words = ["-m", "edge_sdk.cli.main", "run", state, "--hub", hub.url]
    done = run_ready("device", words, given=b"\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, True, True, True, True, False]
    assert answers[0]["label"] == answers[-1]["label"]


def test_a_run_logs_as_json_what_an_operator_wants_to_know(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: Capture
) -> None:
    publish("logged")
    state, token = tmp_path / "d", hub.token("logged")
    code, _, err = edge(
        capsys, "enrol", state, "--hub", hub.url, "--token", token, "--model", "logged"
    )
    assert (code, err) == (0, "")
    publish("logged", "1.1", seed=3)
    command = [sys.executable, "-m", "edge_sdk.cli.main", "run", str(state), "--log-level", "info"]
    with subprocess.Popen(
        [*command, "--log-format", "json"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        too_late = threading.Timer(PATIENCE, process.kill)
        too_late.start()
        records = [json.loads(process.stderr.readline()) for _ in range(2)]
        _, rest = process.communicate("")
        too_late.cancel()
    assert [record["message"].partition(",")[0] for record in records] == [
        "update to 1.1 begun",
        "update to 1.1 activated",
    ]
    assert {record["logger"] for record in records} == {"edge_sdk.update.updater"}
    assert {record["level"] for record in records} == {"INFO"}
    for record in records:
        at = datetime.fromisoformat(record["time"])
        assert at.tzinfo is not None
        assert at.timestamp() == pytest.approx(time.time(), abs=600)
    assert token not in json.dumps(records) + rest


def test_a_device_of_several_models_is_enrolled_joined_asked_and_looked_at(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: Capture
) -> None:
    for seed, name in enumerate(("cli-arm", "cli-leg", "cli-toe")):
        publish(name, seed=seed)
    state, row = tmp_path / "d", rows(1)[0]
    token = hub.admin.post("enrolment-tokens", model=["cli-arm", "cli-leg"])["token"]
    code, out, err = edge(capsys, "enrol", state, "--hub", hub.url, "--token", token)
    assert (code, err) == (0, "")
    words, _, figures = out.partition("\n\n")
    assert "cli-arm" in words
    assert "cli-leg" in words
    facts = dict(line.split("  ", 1) for line in figures.splitlines())
    assert {facts[f"models.{name}.version"].strip() for name in ("cli-arm", "cli-leg")} == {"1.0"}

    def run(*options: str) -> dict[str, object]:
        words = ["-m", "edge_sdk.cli.main", "run", state, *options]
        done = run_ready("device", words, given=json.dumps(row.tolist()).encode())
        return dict(json.loads(done.stdout)) if done.stdout else {"stderr": done.stderr}

    assert "several models, cli-arm, cli-leg: say device.model(NAME), or --model" in str(run())
    for seed, name in enumerate(("cli-arm", "cli-leg")):
        assert run("--model", name)["label"] == int(softmax(row[None], seed)[0].argmax())
    assert "and not for cli-toe" in str(run("--model", "cli-toe"))

    code, _, err = edge(capsys, "join", state, "--model", "cli-toe")
    assert (code, "needs an enrolment token for that too" in err) == (1, True)
    with EdgeDevice(state, hub=hub.url, model="cli-leg") as owner:  # the application runs on
        token = hub.token("cli-toe")
        code, out, err = edge(capsys, "join", state, "--model", "cli-toe", "--token", token)
        assert (code, err) == (0, "")
        assert owner.model("cli-toe").predict(row).version == "1.0"
        code, out, _ = edge(capsys, "status", state)
        names = {line.split()[0] for line in out.partition("\n\n")[2].splitlines()}
        assert {"model", "models.cli-arm.version", "models.cli-toe.version"} < names
        assert "models.cli-leg.version" not in names  # which stands beside it
    code, out, _ = edge(capsys, "join", state, "--model", "cli-toe", "--json")  # it is there
    assert (code, json.loads(out)["version"]) == (0, "1.0")
