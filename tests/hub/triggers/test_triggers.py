"""Triggers at a hub: firings start runs, are latched, remembered, and replayed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from cloud_hub.cli.main import main
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Conflict, NotFound, Unauthenticated
from cloud_hub.hub import Hub, open_hub
from cloud_hub.telemetry.tables import ROLLED
from cloud_hub.triggers import store
from cloud_hub.triggers.history import _weighed
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import FeedbackReport, Message, Upload
from edge_sdk.contract.window import Window
from tests.conftest import Publish
from tests.edge.builders import make_release
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

POLICY = """
sharing: {samples: true, per_window: 10}
reporting: {window: 1s}
triggers:
  - name: accuracy
    when: {performance: {below: 0.9, minimum: 100}}
    cooldown: 1s
  - name: asked
    when: {webhook: true}
    cooldown: 0s
    mode: stateless
train: {entry: "tests.hub.runs.trainers:good"}
"""


def feedback(
    hub: Hub, labelled: int, correct: int, *, boot: str = "b1", at: float | None = None
) -> None:
    """Labels of 25 windows of two seconds, the newest at ``at``: one window is one observation."""
    newest = int(time.time() - 60 if at is None else at)
    messages = []
    for i in range(WINDOWS):
        start = newest - 2 * i
        window = Window("demo", "1.0", start, start + 1)
        counts = (labelled // WINDOWS, correct // WINDOWS)
        report = FeedbackReport(window, *counts, *counts)
        messages.append(Message(boot, i + 1, "feedback", to_plain(report)))
    assert (
        hub.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), Upload(tuple(messages))).accepted
        == WINDOWS
    )


WINDOWS = 25


@pytest.fixture
def ready(serving: Hub) -> Hub:
    serving.registry.set_policy("demo", POLICY, "test")
    return serving


def tick(hub: Hub, ahead: float = 0.0) -> list[str]:
    return [firing.trigger for firing in hub.triggers.tick(time.time() + ahead)]


def test_a_firing_starts_a_run_with_its_evidence(ready: Hub) -> None:
    assert tick(ready) == []
    feedback(ready, 1_000, 700)
    assert tick(ready, ahead=2) == ["accuracy"]
    (run,) = ready.runs.records("demo")
    (cause,) = run.causes
    assert (cause.trigger, cause.actor, cause.version) == ("accuracy", "hub", "1.0")
    assert cause.evidence["accuracy"] == 0.7
    assert run.mode == "stateful"


def test_a_firing_and_its_run_are_logged(ready: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cloud_hub")
    feedback(ready, 1_000, 700)
    tick(ready, ahead=2)
    ready.runs.cancel(1, actor="anna", reason="by mistake")
    told = [record.getMessage() for record in caplog.records if record.levelname == "INFO"]
    assert "demo: trigger accuracy (performance) fired for version 1.0, by hub" in told
    assert "demo: run 1 requested (accuracy)" in told
    assert "demo: run 1 cancelled: anna: by mistake" in told


def test_a_rule_that_fired_is_latched_until_it_is_re_armed(ready: Hub) -> None:
    feedback(ready, 1_000, 700)
    assert tick(ready, ahead=2) == ["accuracy"]
    assert tick(ready, ahead=10) == []
    rows = ready.triggers.status("demo", time.time() + 10)
    assert [row.outcome for row in rows] == ["latched", "quiet"]
    ready.triggers.rearm("demo", "accuracy", actor="me")
    assert tick(ready, ahead=20) == ["accuracy"]
    assert len(ready.runs.records("demo")) == 1  # it joined the run that is active
    with pytest.raises(NotFound, match=r"has no trigger 'nobody'"):
        ready.triggers.rearm("demo", "nobody", actor="me")


def test_another_version_re_arms(ready: Hub, tmp_path: Path) -> None:
    feedback(ready, 1_000, 700)
    assert tick(ready, ahead=2) == ["accuracy"]
    release = make_release(tmp_path / "next", version="1.1", seed=8)
    ready.registry.publish(release, actor="test", gated=True)
    ready.plans.promote("demo", "1.1", actor="test", reason="better")
    assert not ready.triggers.status("demo", time.time())[0].latched
    with pytest.raises(Conflict, match="is armed"):
        ready.triggers.rearm("demo", "accuracy", actor="me")


def test_a_firing_that_the_hub_died_over_is_handled_after_it_comes_back(ready: Hub) -> None:
    feedback(ready, 1_000, 700)

    def dies(firing: object) -> None:
        raise KeyboardInterrupt

    ready.triggers.on_fire = dies
    with pytest.raises(KeyboardInterrupt):
        tick(ready, ahead=2)
    assert ready.runs.records("demo") == []
    again = open_hub(ready.settings)
    try:
        assert [f.trigger for f in again.triggers.tick(time.time())] == ["accuracy"]
        assert len(again.runs.records("demo")) == 1
        assert again.triggers.tick(time.time()) == []
    finally:
        again.close()


def test_every_evaluation_is_recorded_and_their_number_is_bounded(
    ready: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "STORED", 5)
    for i in range(4):
        tick(ready, ahead=2.0 * i)
    (row,) = ready.triggers.evaluations("demo", "accuracy", 10)
    assert (row.times, row.outcome, row.version) == (4, "quiet", "1.0")
    assert row.evidence["labelled"] == 0
    assert len(row.policy) == 64
    for i in range(12):  # another policy is another provenance
        ready.registry.set_policy("demo", POLICY + f"\n# {i}\n", "test")
        tick(ready, ahead=10.0 + 2 * i)
    assert len(ready.triggers.evaluations("demo", "accuracy", 100)) == 5
    assert len(ready.triggers.evaluations("demo", None, 100)) == 10


def test_a_person_fires_any_rule_whatever_it_says(ready: Hub) -> None:
    firing = ready.triggers.fire("demo", "accuracy", actor="me", reason="I know better")
    assert firing.evidence == {"by": "me", "reason": "I know better"}
    (run,) = ready.runs.records("demo")
    assert run.causes[0].actor == "me"
    assert ready.runs.started("demo") == []  # not of the triggers' budget
    assert ready.triggers.status("demo", time.time())[0].latched


def test_a_webhook_is_called_with_its_token_only(ready: Hub) -> None:
    with pytest.raises(Unauthenticated):
        ready.triggers.call("demo", "asked", "guess", {})
    token = ready.triggers.new_hook("demo", "asked", actor="me")
    for count in (1, 2):
        assert ready.triggers.call("demo", "asked", token, {"commit": "abc"}) == count
    for trigger in ("accuracy", "nobody"):
        with pytest.raises(Unauthenticated):
            ready.triggers.call("demo", trigger, token, {})
    assert tick(ready) == ["asked"]
    (run,) = ready.runs.records("demo")
    assert (run.mode, run.causes[0].evidence["said"]) == ("stateless", {"commit": "abc"})
    assert tick(ready, ahead=5) == []
    other = ready.triggers.new_hook("demo", "asked", actor="me")
    with pytest.raises(Unauthenticated):
        ready.triggers.call("demo", "asked", token, {})
    assert ready.triggers.call("demo", "asked", other, {}) == 1
    with pytest.raises(Conflict, match="no webhook"):
        ready.triggers.new_hook("demo", "accuracy", actor="me")


def test_a_dry_run_replays_what_came_in_and_changes_nothing(ready: Hub) -> None:
    now = time.time()
    plan = ready.plans.current("demo")
    assert plan is not None
    for boot, ago, correct in (("a", 20, 95), ("b", 15, 95), ("c", 10, 10), ("d", 5, 10)):
        feedback(ready, 100, correct, boot=boot, at=now - ago)
    found = ready.triggers.dry_run("demo", since=now - 30, until=now + 1)
    assert [rule.trigger for rule in found.rules] == ["accuracy", "asked"]
    assert ready.triggers.firings("demo") == []
    assert ready.runs.records("demo") == []
    (moment,) = found.rules[0].firings
    assert moment.evidence.accuracy < 0.9
    mild = ready.registry.policy("demo")
    other = replace(mild, triggers=mild.triggers[1:])
    tried = ready.triggers.dry_run("demo", since=now - 30, until=now + 1, policy=other)
    assert [rule.trigger for rule in tried.rules] == ["asked"]


Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(hub: HubProcess, capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*words: str) -> tuple[int, str]:
        code = main([*words, "--data", str(hub.data)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_the_commands_against_a_real_hub(
    hub: HubProcess, publish: Publish, tmp_path: Path, cli: Cli
) -> None:
    publish("fires")
    file = tmp_path / "policy.yaml"
    file.write_text("model: fires\n" + POLICY)
    code, out = cli("policy", "apply", str(file))
    assert code == 0, out
    status = json.loads(cli("triggers", "status", "fires", "--json")[1])
    assert [rule["trigger"] for rule in status["rules"]] == ["accuracy", "asked"]
    code, out = cli("triggers", "hook", "fires", "asked")
    token, address = out.split()[0], out.split()[-1]
    called = requests.post(
        address,
        json={"commit": "abc"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE,
    )
    assert (called.status_code, called.json()) == (202, {"calls": 1})
    runs = wait_for(lambda: hub.admin.get("models/fires/runs"), "the run")
    assert runs[0]["causes"][0]["trigger"] == "asked"
    assert cli("triggers", "fire", "fires", "accuracy", "--reason", "demo")[0] == 0
    assert cli("triggers", "rearm", "fires", "accuracy") == (0, "fires: accuracy is armed\n")
    log = json.loads(cli("triggers", "log", "fires", "--trigger", "asked", "--json")[1])
    assert "fired" in [row["outcome"] for row in log]
    code, out = cli("triggers", "dry-run", "fires", "--since", "30s")
    assert (code, "accuracy: no firings" in out) == (0, True)
    code, out = cli(
        "triggers", "dry-run", "fires", "--since", "1m", "--json", "--policy", str(file)
    )
    assert (code, len(json.loads(out)["rules"])) == (0, 2)


REFUSED: dict[str, tuple[bytes, str | None, int]] = {
    "no token": (b"{}", None, 401),
    "a wrong token": (b"{}", "guess", 401),
    "no JSON": (b"{", "guess", 422),
    "a list": (b"[1]", "guess", 422),
    "not a number": (b'{"a": NaN}', "guess", 422),
    "too much": (b" " * 20_000, "guess", 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_call_is_refused(hub: HubProcess, case: str) -> None:
    body, token, status = REFUSED[case]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{hub.url}/v1/models/nobody/triggers/x/call"
    assert requests.post(url, data=body, headers=headers, timeout=PATIENCE).status_code == status


def test_commands_that_cannot_be_done_say_why(
    hub: HubProcess, publish: Publish, cli: Cli, tmp_path: Path
) -> None:
    publish("calm")
    typo = tmp_path / "mine.yaml"
    typo.write_text("model: calm\ntrigers: []\n")
    refusals = {
        ("fire", "calm", "x"): "has no trigger 'x'",
        ("rearm", "calm", "x"): "has no trigger 'x'",
        ("hook", "calm", "x"): "has no trigger 'x'",
        ("dry-run", "nobody", "--since", "1d"): "nobody",
        (
            "dry-run",
            "calm",
            "--since",
            "1d",
            "--policy",
            str(typo),
        ): "mine.yaml:2: trigers",
    }
    for words, reason in refusals.items():
        code, out = cli("triggers", *words)
        assert (code, reason in out) == (1, True), (words, out)


def test_one_device_neither_fires_a_performance_trigger_nor_hides_a_drop() -> None:
    """It counts for ten times the median device of the window, whatever it claims."""
    fleet = {f"d-{i}": (100, 90) for i in range(40)}
    labelled, correct = _weighed({**fleet, "liar": (60_000, 0)})
    assert (labelled, correct) == (5_000, 3_600)
    assert _weighed({**fleet, "liar": (60_000, 60_000)}) == (5_000, 4_600)
    assert _weighed({"d-1": (100, 90), "liar": (60_000, 0)}) == (1_100, 90)
    # Rows that were rolled up are of many devices.
    assert _weighed({ROLLED: (60_000, 54_000), "d-1": (10, 9)}) == (60_010, 54_009)
    assert _weighed({"d-1": (0, 0)}) == (0, 0)
