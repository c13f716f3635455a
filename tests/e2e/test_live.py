"""Experiments on a device of a real hub: brought, run, reported, taken back."""

from __future__ import annotations

import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice, EdgeError
from edge_sdk.contract.experiment_reports import InterleaveReport, ShadowReport
from edge_sdk.contract.messages import FeedbackReport, UpdateEvent, WindowReport
from edge_sdk.contract.plan import Arm, Experiment, slot_of
from edge_sdk.update.state import STARTS, SlotRef
from tests.clock import Clock
from tests.conftest import Publish
from tests.e2e.live import ALONE, opened, publish_plan, ref, told, trial
from tests.edge.builders import rows, softmax
from tests.model_folder import model_folder
from tests.processes.ready import run_ready
from tests.servers import HubProcess
from tests.waiting import wait_for

NOWHERE = "http://127.0.0.1:9"


def test_a_shadow_answers_beside_and_its_comparison_is_reported(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("shadowed")
    other = publish("shadowed", "1.1", seed=5, promote=False)
    publish_plan(hub, "shadowed", experiment=trial("shadow", other))
    with opened(tmp_path / "d", hub, "shadowed", background=True) as device:
        assert device.status()["beside"] == {"b": "1.1"}
        x = rows(300)
        made = [device.predict(row) for row in x]
        assert {p.version for p in made} == {"1.0"}
        labels = softmax(x, 5).argmax(axis=1)
        for p, label in zip(made[:100], labels, strict=False):
            device.feedback(p.id, label=int(label))
        counts = lambda: device._service.running._counts  # type: ignore[union-attr]  # noqa: E731
        wait_for(lambda: counts().compared >= 300, "the comparison of all")
        for p, label in zip(made[100:], labels[100:], strict=False):
            device.feedback(p.id, label=int(label))
        (report,) = told(device, ShadowReport)
        windows = told(device, WindowReport)
    differing = int((softmax(x, 0).argmax(axis=1) != labels).sum())
    assert (report.compared, report.disagreements) == (300, differing)
    assert (report.window.version, report.window.arm, report.incumbent) == ("1.1", "b", "1.0")
    assert report.confidence.count == 300
    shift = (softmax(x, 5).max(axis=1) - softmax(x, 0).max(axis=1)).sum()
    assert report.confidence.total == pytest.approx(shift, abs=1e-3)
    assert report.latency.count > 0
    pairs = report.labelled
    assert (pairs.both, pairs.candidate_only) == (300 - differing, differing)
    assert (pairs.incumbent_only, pairs.neither) == (0, 0)
    assert {(w.window.experiment, w.window.arm) for w in windows} == {("shadow-1", "control")}


def test_an_ab_by_key_serves_each_key_its_arm_and_reports_by_arm(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("keyed")
    others = [publish("keyed", v, seed=s, promote=False) for v, s in (("1.1", 5), ("1.2", 6))]
    publish_plan(hub, "keyed", experiment=trial("ab", *others, unit="key"))
    with opened(tmp_path / "d", hub, "keyed") as device:
        units = [f"user-{i}" for i in range(200)]
        row = rows(1)[0]
        served = {}
        for unit in units * 2:
            p = device.predict(row, unit=unit)
            assert served.setdefault(unit, p.version) == p.version
            device.feedback(p.id, reward=float(p.version == "1.1"))
        for unit, version in served.items():
            quarter = slot_of("salt", unit) // 2_500
            assert version == ("1.1", "1.2", "1.0", "1.0")[quarter]
        outside = device.predict(row)
        assert outside.version == "1.0"
        with pytest.raises(Exception, match="expected a text of 1 to 256"):
            device.predict(row, unit="")
        windows = {(w.window.experiment, w.window.arm): w for w in told(device, WindowReport)}
        rewards = {f.window.arm: f for f in told(device, FeedbackReport)}
    counts = {version: list(served.values()).count(version) for version in ("1.0", "1.1", "1.2")}
    arms = {("ab-1", "control"): "1.0", ("ab-1", "b"): "1.1", ("ab-1", "c"): "1.2"}
    for key, version in arms.items():
        assert windows[key].predictions == {"model": 2 * counts[version]}
        assert (windows[key].window.version, windows[key].units) == (version, counts[version])
        buckets = windows[key].buckets
        assert buckets is not None
        assert sum(buckets.requests) == 2 * counts[version]
        assert sum(buckets.units) == counts[version]
    assert windows[None, "control"].predictions == {"model": 1}
    assert (rewards["b"].rewards, rewards["b"].reward_sum) == (2 * counts["1.1"],) * 2
    assert rewards["c"].reward_sum == rewards["control"].reward_sum == 0


def test_keys_of_an_arm_that_was_dropped_get_what_serves_and_are_counted_on_no_arm(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("dropped")
    others = [publish("dropped", v, seed=s, promote=False) for v, s in (("1.1", 5), ("1.2", 6))]
    running = trial("ab", *others, unit="key")
    publish_plan(hub, "dropped", experiment=running)
    with opened(tmp_path / "d", hub, "dropped") as device:
        assert device._link is not None
        assert device._models.own._rollout is not None
        device._models.own._rollout._fail(SlotRef.of(ref(others[0])), "seen to fail here")
        device.sync()  # where an arm failed the device leaves the experiment ...
        assert device.status()["beside"] == {}
        publish_plan(hub, "dropped", experiment=running.drop(["b"]))
        assert device.sync().errors == {}  # ... and is back in it without that arm
        assert device.status()["beside"] == {"control": "1.0", "c": "1.2"}
        assert device._models.own._link.describe().holds == ("1.2",)
        told(device, WindowReport)
        row = rows(1)[0]
        for unit in (f"user-{i}" for i in range(200)):
            quarter = slot_of("salt", unit) // 2_500
            version = device.predict(row, unit=unit).version
            assert version == ("1.0", "1.2", "1.0", "1.0")[quarter]
        windows = {(w.window.experiment, w.window.arm): w for w in told(device, WindowReport)}
    quarters = [slot_of("salt", f"user-{i}") // 2_500 for i in range(200)]
    told_of = {key: sum(report.predictions.values()) for key, report in windows.items()}
    assert told_of == {
        (None, "control"): quarters.count(0),
        ("ab-1", "c"): quarters.count(1),
        ("ab-1", "control"): quarters.count(2) + quarters.count(3),
    }


def test_a_device_of_an_arm_that_was_dropped_goes_back_and_speaks_for_nobody(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("sent-home")
    good = publish("sent-home", "1.1", seed=5, promote=False)
    other = publish("sent-home", "1.2", seed=6, promote=False)
    with opened(tmp_path / "d", hub, "sent-home") as device:
        own = slot_of("salt", device.status()["device"])
        others = ((0, own),) if own else ((own + 1, own + 2),)
        arms = (Arm("b", ref(good), ((own, own + 1),)), Arm("c", ref(other), others))
        running = Experiment("ab-1", "ab", "salt", arms)
        publish_plan(hub, "sent-home", experiment=running)
        assert device.sync().errors == {}
        assert (device.status()["version"], device.status()["arm"]) == ("1.1", "b")
        publish_plan(hub, "sent-home", experiment=running.drop(["b"]))
        assert device.sync().errors == {}
        status = device.status()
        assert (status["version"], status["experiment"]) == ("1.0", None)
        assert ("activated", "1.0", None) in events(device)


def test_a_ranking_is_drafted_from_both_versions_and_clicks_are_credited(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("ranked")
    other = publish("ranked", "1.1", seed=5, promote=False)
    publish_plan(hub, "ranked", experiment=trial("interleave", other))
    with opened(tmp_path / "d", hub, "ranked") as device:
        x = rows(400)
        for i, row in enumerate(x):
            ranking = device.predict_ranking(row, length=2)
            best = int(softmax(x, 5)[i].argmax())  # what the candidate would show first
            device.feedback(ranking.id, clicks=[best] if best in ranking.items else [])
        (report,) = told(device, InterleaveReport)
    assert report.sessions == 400
    assert report.wins["b"] > report.wins["control"]
    assert sum(report.first.values()) == 400
    assert sum(report.wins.values()) + report.ties <= 400
    assert report.seed


def touched(feature: float = 1_000.0) -> Any:
    """An input on which a touchy model fails and a hanging one hangs."""
    row = rows(1)[0].copy()
    row[0] = feature
    return row


def reopened(state: Path, **more: Any) -> EdgeDevice:
    """The device again, where no hub can be reached."""
    return EdgeDevice(state, hub=NOWHERE, config=ALONE, background=True, clock=Clock(), **more)


def events(device: EdgeDevice) -> list[tuple[Any, ...]]:
    return [(e.outcome, e.version, e.experiment) for e in told(device, UpdateEvent)]


def test_a_candidate_that_fails_in_service_is_taken_back_offline_and_does_not_come_again(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("offline")
    bad = publish("offline", "1.1", seed=5, promote=False, defect="touchy")
    with opened(tmp_path / "d", hub, "offline") as device:
        own = slot_of("salt", device.status()["device"])
        publish_plan(hub, "offline", experiment=trial("canary", bad, slots=((own, own + 1),)))
        assert device.sync().update == "activated"
    with reopened(tmp_path / "d") as device:
        assert device.predict(rows(1)[0]).version == "1.1"
        for _ in range(ALONE.trial_errors):
            with pytest.raises(EdgeError, match="the model failed"):
                device.predict(touched())
        wait_for(lambda: device.predict(rows(1)[0]).version == "1.0", "the way back to 1.0")
        status = device.status()
        assert (status["experiment"], status["arm"]) == (None, "control")
        windows = {(w.window.arm, w.window.experiment): w for w in told(device, WindowReport)}
        assert windows["b", "canary-1"].errors == {"model": ALONE.trial_errors}
        assert windows["control", None].window.version == "1.0"
        assert ("rolled_back", "1.1", "canary-1") in events(device)
    publish_plan(hub, "offline", experiment=trial("canary", bad))  # wider
    with EdgeDevice(tmp_path / "d", hub=hub.url, config=ALONE, background=False) as device:
        device.sync()
        assert device.status()["version"] == "1.0"
        assert device.status()["experiment"] is None
        publish_plan(hub, "offline", serving=ref(bad), experiment=None)
        assert device.sync().update == "activated"  # another decision: it may be tried again


@pytest.mark.parametrize(
    ("strategy", "more"), [("ab", {"unit": "key"}), ("interleave", {}), ("shadow", {})]
)
def test_a_candidate_that_fails_beside_what_serves_is_given_up_and_nobody_notices(
    hub: HubProcess, publish: Publish, tmp_path: Path, strategy: str, more: dict[str, Any]
) -> None:
    model = f"beside-{strategy}"
    publish(model)
    bad = publish(model, "1.1", seed=5, promote=False, defect="touchy")
    publish_plan(hub, model, experiment=trial(strategy, bad, **more))
    opened(tmp_path / "d", hub, model).close()
    mine = next(u for u in map(str, range(99)) if slot_of("salt", u) < 2_500)
    with reopened(tmp_path / "d") as device:
        assert device.status()["beside"].get("b") == "1.1"
        for _ in range(ALONE.trial_errors):
            if strategy == "ab":
                with pytest.raises(EdgeError, match="the model failed"):
                    device.predict(touched(), unit=mine)
                assert device.predict(touched()).version == "1.0"
            elif strategy == "interleave":
                assert device.predict_ranking(touched()).version == "1.0"
            else:
                assert device.predict(touched()).version == "1.0"
        wait_for(lambda: device.status()["failures"], "the end of the candidate")
        wait_for(lambda: device.status()["experiment"] is None, "the end of the experiment here")
        assert device.status()["beside"] == {}
        assert device.predict(rows(1)[0], unit=mine).version == "1.0"
        assert ("rolled_back", "1.1", f"{strategy}-1") in events(device)
    with EdgeDevice(tmp_path / "d", hub=hub.url, config=ALONE, background=False) as device:
        device.sync()
        assert device.status()["beside"] == {}
        assert device._link is not None
        assert device._models.own._link.describe().holds == ()


def test_a_shadow_that_hangs_is_aborted_and_no_call_fails(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("hanging")
    bad = publish("hanging", "1.1", seed=5, promote=False, defect="hang")
    publish_plan(hub, "hanging", experiment=trial("shadow", bad))
    opened(tmp_path / "d", hub, "hanging").close()
    quick = replace(ALONE, shadow_seconds=0.2)
    with EdgeDevice(tmp_path / "d", hub=NOWHERE, config=quick, clock=Clock()) as device:
        shadow = device._service.running
        assert shadow is not None
        threads = {t.name for t in threading.enumerate()}
        assert "edge-shadow" in threads
        assert device.status()["beside"] != {}

        def alone() -> bool:
            assert device.predict(touched()).version == "1.0"
            return device.status()["beside"] == {}

        wait_for(alone, "the call to be given up", every=0)
        wait_for(lambda: device.status()["failures"], "the end of the candidate")
        (report,) = told(device, ShadowReport)
        assert report.errors["hung"] == 1
        assert ("rolled_back", "1.1", "shadow-1") in events(device)
        names = lambda: {t.name for t in threading.enumerate()}  # noqa: E731
        wait_for(lambda: "edge-shadow" not in names(), "the end of the call that hangs")


def test_a_candidate_of_another_input_schema_is_left_out_with_the_reason(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("schema")
    other = publish("schema", "1.1", seed=5, promote=False, columns=("a", "b", "c", "d"))
    publish_plan(hub, "schema", experiment=trial("shadow", other))
    with opened(tmp_path / "d", hub, "schema") as device:
        assert (device.status()["version"], device.status()["beside"]) == ("1.0", {})
        (reason,) = device.status()["failures"].values()
        assert "1.1 takes other inputs than 1.0" in reason
        assert ("rolled_back", "1.1", "shadow-1") in events(device)


@pytest.mark.parametrize("strategy", ["canary", "shadow"])
def test_a_candidate_whose_process_dies_before_it_answered_is_given_up_after_a_few_starts(
    hub: HubProcess, publish: Publish, tmp_path: Path, strategy: str
) -> None:
    model = f"dying-{strategy}"
    publish(model)
    bad = publish(model, "1.2", seed=6, promote=False)
    state = tmp_path / "d"
    with opened(state, hub, model) as device:
        device.predict(rows(1)[0])
        publish_plan(hub, model, experiment=trial(strategy, bad))
        assert device.sync().errors == {}
    code = (
        "import os; from edge_sdk import EdgeDevice;"
        f"d = EdgeDevice({str(state)!r}, hub={NOWHERE!r}, background=False); s = d.status();"
        " print(s['beside'].get('b', s['version']), flush=True); os.kill(os.getpid(), 9)"
    )
    ran = []
    for _ in range(STARTS + 1):
        done = run_ready("device", ["-c", code])
        ran.append(done.stdout.strip())
    assert ran == ["1.2"] * STARTS + ["1.0"]
    with reopened(state) as device:
        assert device.status()["version"] == "1.0"
        assert ("rolled_back", "1.2", f"{strategy}-1") in events(device)


SEGFAULT = """
import ctypes, sys, time
from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
import edge_sdk.serving.predictor, edge_sdk.update.certification
from tests.edge.builders import rows

state, hub, where = sys.argv[1:]
again = edge_sdk.serving.predictor.Predictor.again
probe = edge_sdk.update.certification.measured

def crashing(self, given):
    if self.release.manifest.version == "1.1":
        ctypes.string_at(0)
    return again(self, given)

def probing(release, *more, **options):
    if where == "probe" and release.manifest.version == "1.1":
        ctypes.string_at(0)
    return probe(release, *more, **options)

if where == "run":
    edge_sdk.serving.predictor.Predictor.again = crashing
edge_sdk.update.certification.measured = probing
config = DeviceConfig(request_seconds=300.0, fold_seconds=0.01, sync_seconds=3_600.0)
device = EdgeDevice(state, hub=hub, config=config)
if where == "probe":
    device.sync()
print(device.status()["beside"].get("b", "none"), flush=True)
end = time.monotonic() + 300
while device.status()["beside"] and time.monotonic() < end:
    device.predict(rows(1)[0])
    time.sleep(0.01)
print(device.predict(rows(1)[0]).version, flush=True)
"""


@pytest.mark.parametrize(
    ("where", "ends"), [("run", 1), ("probe", 2)], ids=["in its first run", "in the probe"]
)
def test_a_shadow_that_ends_the_process_is_not_started_again(
    hub: HubProcess, publish: Publish, tmp_path: Path, where: str, ends: int
) -> None:
    """By a fault in native code, which nothing in the process can catch."""
    model = f"fatal-{where}"
    publish(model)
    bad = publish(model, "1.1", seed=5, promote=False)
    state = tmp_path / "d"
    with opened(state, hub, model) as device:
        if where == "run":
            publish_plan(hub, model, experiment=trial("shadow", bad))
        assert device.sync().errors == {}
    if where == "probe":
        publish_plan(hub, model, experiment=trial("shadow", bad))
    words = ["-c", SEGFAULT, state, hub.url, where]
    runs = [run_ready("device", words) for _ in range(ends + 1)]
    assert [run.returncode for run in runs] == [-signal.SIGSEGV] * ends + [0], runs[-1].stderr
    assert runs[-1].stdout.split() == ["none", "1.0"]
    with reopened(state) as device:
        (reason,) = device.status()["failures"].values()
        told_as = "ended twice while the release was probed" if where == "probe" else "while it ran"
        assert told_as in reason


@pytest.mark.parametrize("strategy", ["canary", "shadow", "interleave"])
def test_a_candidate_that_has_answered_is_on_trial_no_more(
    hub: HubProcess, publish: Publish, tmp_path: Path, strategy: str
) -> None:
    model = f"proven-{strategy}"
    publish(model)
    good = publish(model, "1.1", seed=5, promote=False)
    publish_plan(hub, model, experiment=trial(strategy, good))
    with opened(tmp_path / "d", hub, model, background=True) as device:
        assert device._link is not None
        updater = device._models.own._link.updater
        wait_for(
            lambda: device.predict_ranking(rows(1)[0]) and updater.trial is None, "an answer of it"
        )
        proven = lambda: {slot.manifest for slot in updater.state.proven}  # noqa: E731
        wait_for(lambda: ref(good).manifest in proven(), "a note of that")


def test_an_app_that_ends_without_closing_its_device_tells_nothing_against_a_candidate(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("careless")
    good = publish("careless", "1.1", seed=5, promote=False)
    publish_plan(hub, "careless", experiment=trial("canary", good))
    code = (
        "import sys; from edge_sdk import EdgeDevice;"
        f"d = EdgeDevice({str(tmp_path / 'd')!r}, hub={hub.url!r}, token=sys.argv[1] or None,"
        " model='careless', background=False); print(d.status()['version'])"
    )
    for token in (hub.token("careless"), "", "", "", ""):
        done = run_ready("device", ["-c", code, token], check=True)
        assert (done.stdout.strip(), done.stderr) == ("1.1", "")


def test_a_paused_canary_keeps_who_is_in_and_the_end_of_it_goes_back(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("paused")
    good = publish("paused", "1.1", seed=5, promote=False)
    publish_plan(hub, "paused", experiment=trial("canary", good))
    with opened(tmp_path / "d", hub, "paused") as device:
        assert device.status()["version"] == "1.1"
        publish_plan(hub, "paused", experiment=trial("canary", good, paused=True))
        device.sync()
        assert (device.status()["version"], device.status()["arm"]) == ("1.1", "b")
        with opened(tmp_path / "late", hub, "paused") as late:
            assert (late.status()["version"], late.status()["experiment"]) == ("1.0", None)
        publish_plan(hub, "paused", experiment=None)
        device.sync()
        assert (device.status()["version"], device.status()["arm"]) == ("1.0", "control")


def test_what_an_experiment_left_is_removed_when_it_ends(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("tidy")
    others = [publish("tidy", v, seed=s, promote=False) for v, s in (("1.1", 5), ("1.2", 6))]
    publish_plan(hub, "tidy", experiment=trial("ab", *others, unit="key"))
    with opened(tmp_path / "d", hub, "tidy") as device:
        releases = model_folder(tmp_path / "d") / "releases"
        folders = lambda: sorted(p.name[:8] for p in releases.iterdir())  # noqa: E731
        assert len(folders()) == 3
        assert device._link is not None
        assert device._models.own._link.describe().holds == ("1.1", "1.2")
        publish_plan(hub, "tidy", experiment=None)
        assert device.sync().errors == {}
        assert len(folders()) == 1


def test_bad_feedback_is_refused_with_the_reason_and_counted(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("refused")
    other = publish("refused", "1.1", seed=5, promote=False)
    publish_plan(hub, "refused", experiment=trial("interleave", other))
    with opened(tmp_path / "d", hub, "refused") as device:
        ranking = device.predict_ranking(rows(1)[0], length=2)
        hidden = ({0, 1, 2} - set(ranking.items)).pop()
        with pytest.raises(EdgeError, match=f"did not show {hidden}"):
            device.feedback(ranking.id, clicks=[hidden])
        device.feedback(ranking.id, clicks=[ranking.items[0]])
        with pytest.raises(EdgeError, match="has its clicks already"):
            device.feedback(ranking.id, clicks=[])
        with pytest.raises(EdgeError, match="expected the id of a recent ranking"):
            device.feedback("nonsense-1", clicks=[])
        with pytest.raises(EdgeError, match="expected a list of items"):
            device.feedback(ranking.id, clicks="ab")
        device.feedback(ranking.id, reward=1.0)
        with pytest.raises(EdgeError, match="has its reward already"):
            device.feedback(ranking.id, reward=1.0)
        (report,) = told(device, InterleaveReport)
        errors = [w.errors for w in told(device, WindowReport) if w.window.arm == "control"]
    assert report.refused == {"not_shown": 1, "repeated": 1}
    assert errors == [{"unknown_prediction": 1, "clicks": 1, "label": 1}]


def test_a_device_logs_its_life_in_the_fleet_but_no_token(
    hub: HubProcess, publish: Publish, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish("logged")
    bad = publish("logged", "1.1", promote=False, golden_seed=9)
    other = publish("logged", "1.2", seed=5, promote=False)
    with caplog.at_level("INFO", "edge_sdk"), opened(tmp_path / "d", hub, "logged") as device:
        assert device._link is not None
        name, secret = device._link.identity.device, device._link.identity.key.seed.hex()
        publish_plan(hub, "logged", experiment=trial("shadow", bad))
        device.sync()
        publish_plan(hub, "logged", experiment=trial("shadow", other))
        device.sync()
        publish_plan(hub, "logged", experiment=None)
        device.sync()
    messages = [record.getMessage() for record in caplog.records if record.levelname == "INFO"]
    patterns = [
        rf"enrolled as {name} for logged with the hub at {hub.url}",
        r"update to 1.0 begun, as plan \d+ says",
        "update to 1.0 activated",
        r"update to 1.1 begun, as plan \d+ says",
        "update to 1.1 refused at probe: golden vectors.*",
        r"update to 1.2 begun, as plan \d+ says",
        "release 1.2 is here, and held beside what serves",
        r"experiment shadow-1 \(shadow\) begun here: b \(1.2\)",
        "experiment shadow-1 ended here",
    ]
    assert len(messages) == len(patterns), messages
    for message, pattern in zip(messages, patterns, strict=True):
        assert re.fullmatch(pattern, message), message
    assert not any(secret in record.getMessage() for record in caplog.records)
