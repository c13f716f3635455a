"""What the commands ask of a hub, and what they make of its answers: a recorder in place of one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud_hub.cli.main import main
from cloud_hub.cli.shared import registration
from tests.waiting import PATIENCE


class Recorder:
    """Gives every request the same answer, as a hub would, and keeps what was asked."""

    def __init__(self) -> None:
        self.answer: Any = {}
        self.status = 200
        self.requests: list[tuple[str, dict[str, str]]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                parts = urlsplit(self.path)
                query = {name: value for name, (value,) in parse_qs(parts.query).items()}
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                recorder.requests.append((parts.path, query))
                raw = json.dumps(recorder.answer).encode()
                self.send_response(recorder.status)
                self.send_header("Edge-Hub", "1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    thread = threading.Thread(target=recorder.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("EDGE_HUB_URL", recorder.url)
    monkeypatch.setenv("EDGE_HUB_TOKEN", "t")
    monkeypatch.setenv("COLUMNS", "120")  # tables are as wide as the terminal
    yield recorder
    recorder.server.shutdown()
    recorder.server.server_close()
    thread.join(PATIENCE)


PLAN = {"model": "digits", "serial": 4, "serving": {"version": "1.1"}}
PREVIEW = {
    "model": "digits", "serving": "1.0", "serves_next": "1.1", "ends": None, "changes": True,
    "dry_run": True,
}  # fmt: skip
PREVIEWS: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({}, "1.1 would serve instead of 1.0"),
    "the first version": ({"serving": None}, "1.1 would serve"),
    "nothing": ({"changes": False}, "1.1 serves already"),
    "the end of an experiment": (
        {"serving": "1.1", "ends": "digits-ab-1"},
        "1.1 would go on serving, and digits-ab-1 would end",
    ),
}


@pytest.mark.parametrize("case", PREVIEWS)
def test_a_dry_run_says_what_would_change(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    change, expected = PREVIEWS[case]
    recorder.answer = PREVIEW | change
    assert main(["promote", "digits", "1.1", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"digits: dry run, nothing was changed; {expected}\n"
    assert main(["rollback", "digits", "--dry-run", "--reason", "old phones"]) == 0
    promote, rollback = recorder.requests
    assert promote[0] == "/v1/models/digits/promote"
    assert promote[1] == {"version": "1.1", "reason": "by hand", "dry_run": "True"}
    assert rollback[:2] == (
        "/v1/models/digits/rollback", {"reason": "old phones", "dry_run": "True"}
    )  # fmt: skip


def test_a_hub_that_knows_no_dry_run_is_told_of_at_once(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.answer = PLAN
    assert main(["rollback", "digits"]) == 0
    assert "dry_run" not in recorder.requests[0][1]
    assert capsys.readouterr().out == "digits: 1.1 serves; plan 4\n"
    assert main(["rollback", "digits", "--dry-run"]) == 1
    assert "this hub knows no dry run, so it made the change" in capsys.readouterr().err


def test_a_reason_overrides_what_an_experiment_found(recorder: Recorder) -> None:
    recorder.answer = PLAN
    assert main(["promote", "digits", "1.1", "--override", "it was the network"]) == 0
    assert recorder.requests[0][1]["override"] == "it was the network"
    assert main(["promote", "digits", "1.1", "--override", " "]) == 2


NARROWED: dict[str, tuple[str, dict[str, str]]] = {
    "audit": ("/v1/audit", {}),
    "audit --limit 7": ("/v1/audit", {"limit": "7"}),
    "audit --model m --since 1h": ("/v1/audit", {"model": "m", "since": "3600 s ago"}),
    "devices list": ("/v1/devices", {}),
    "devices list --model m --since 2h --limit 9": (
        "/v1/devices", {"model": "m", "since": "7200 s ago", "limit": "9"},
    ),
    "telemetry show m": ("/v1/models/m/telemetry", {"seconds": "86400.0"}),
    "telemetry show m --since 2h --limit 2": (
        "/v1/models/m/telemetry", {"seconds": "7200.0", "limit": "2"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", NARROWED)
def test_the_hub_is_asked_for_what_the_options_say(recorder: Recorder, words: str) -> None:
    recorder.answer = {"windows": [], "events": [], "devices": {}} if "tele" in words else []
    assert main(words.split()) == 0
    ((path, query),) = recorder.requests
    if "since" in query:
        query["since"] = f"{time.time() - float(query['since']):.0f} s ago"
    assert (path, query) == NARROWED[words]


def test_devices_and_audit_are_tables(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    device = {
        "device": "d-1", "model": "m", "health": "healthy", "version": "1.0", "plan": 1,
        "seen_at": 0.0, "attributes": {"region": "eu"}, "failed": ["a" * 64],
        "standing": "active", "serial": None, "reason": None, "flags": [],
    }  # fmt: skip
    recorder.answer = [device, device]
    assert main(["devices", "list"]) == 0
    out = capsys.readouterr().out
    assert "2 devices: healthy=2" in out
    assert f"region=eu; failed: {'a' * 12}\n" in out
    assert main(["devices", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [device, device]
    entry = {"at": 0.0, "actor": "admin", "action": "plan", "model": None, "detail": {"n": 2}}
    recorder.answer = [entry]
    assert main(["audit"]) == 0
    out = capsys.readouterr().out
    assert [out.splitlines()[0].split(), out.splitlines()[2].split()[1:]] == [
        ["time", "actor", "action", "model", "detail"], ["admin", "plan", "-", "n=2"],
    ]  # fmt: skip


def test_a_url_may_have_a_path_and_one_too_many_is_told(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.answer = []
    assert main(["models", "--hub", f"{recorder.url}/behind/a/proxy/"]) == 0
    assert recorder.requests[0][0] == "/behind/a/proxy/v1/models"
    capsys.readouterr()
    recorder.status, recorder.answer = 404, {"error": "GET /docs/v1/models: Not Found"}
    assert main(["models", "--hub", f"{recorder.url}/docs"]) == 1
    assert capsys.readouterr().err == (
        f"edge-hub: {recorder.url}/docs: a hub answers there, but has nothing below /docs; "
        f"is its address {recorder.url}?\n"
    )


def test_a_remote_publish_says_which_key_signs(
    recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "say which key signs: --key FILE" in message
    assert "DATA/keys/releases.pem" in message
    assert recorder.requests == []


def test_every_mistake_of_a_policy_is_told_at_once(
    recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("model: m\ntrigers: []\nbudgett: {}\nexperiment: {soak: soon}\n")
    assert main(["policy", "plan", str(file)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("p.yaml:")[2][:10] for line in lines] == [
        "2: trigers", "3: budgett", "4: experim"
    ]  # fmt: skip
    assert recorder.requests == []


def test_ctrl_c_ends_any_command_with_one_line(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registration.HubAddress, "client", interrupt)
    assert main(["models"]) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "edge-hub: interrupted\n")
    monkeypatch.setattr("cloud_hub.cli.app.create_app", interrupt)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "edge-hub: interrupted\n"
