"""Middle steps of the demo: triggers with their evidence, runs, gates, how often to retrain."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import requests

from edge_sdk.model.release import Release
from edge_sdk.system.providers import DEFAULT_PROVIDERS
from examples.digits.ageing import write_history
from examples.digits.demo import journals, visitors
from examples.digits.demo.processes import PATIENCE
from examples.digits.demo.story import DEVICES, KILLED, POLICY, Outcome, Story

EVERY: Final = "30d,7d,1d"
HASTY: Final = ("examples.digits.training:train", "examples.digits.training:hasty")
"""The training of the policy in git, and the one that somebody in a hurry put in force."""


def start_freshness(story: Story) -> None:
    """Start the analysis of half a year of another camera; :func:`freshness` reads its result."""
    rows = story.folder / "history.npz"
    write_history(rows)
    command = [
        sys.executable,
        "-m",
        "cloud_hub.cli.main",
        "freshness",
        "digits",
        "--rows",
        str(rows),
    ]
    command += ["--entry", "examples.digits.training:quick", "--every", EVERY]
    command += ["--worthwhile", "0.01", "--out", str(story.folder / "freshness.svg"), "--json"]
    story.fleet.start_background("freshness", command, story.folder / "freshness.json")


def drift(story: Story) -> Outcome:
    """Change the camera; both triggers fire."""
    story.prepare("visitors", partial(visitors.teach, story))
    story.policy(POLICY.read_text().replace(*HASTY))
    story.fleet.camera.write_text("changed")
    story.drifted_at = story.mark("camera changed")
    story.wait(lambda: {"performance", "drift"} <= set(_firings(story)), "both triggers")
    firings = _firings(story)
    performance, drift = firings["performance"]["evidence"], firings["drift"]["evidence"]
    worst = drift["worst"][0]
    lines = story.answers(story.drifted_at)
    return True, (
        f"performance: the model's own accuracy by late labels {performance['accuracy']:.3f}, "
        f"below {performance['below']} on {performance['labelled']} labels, by evidence that "
        f"accuracy at the limit shows once in twenty years; drift: {drift['alarms']} alarms, worst "
        f"{worst['signal']}: KS {worst['ks']:.2f}, PSI {worst['psi']:.2f}, p {worst['p']:.1g}; "
        f"answers served (cloud included) {journals.accuracy(lines):.3f}"
    )


def forgetting(story: Story) -> Outcome:
    """Wait for a hasty training that forgets the old camera; the offline gate catches it."""
    _wait_for_run(story, 1)
    run = story.run()
    checks = _checks(run)
    if "forgetting" not in checks:  # the gate was not reached
        return False, f"run {run['id']}: {run['status']}: {run['reason']}"
    # What it learnt of the new camera depends on how many rows of it had come by then.
    caught = not checks["forgetting"]["ok"]
    return run["status"] == "rejected" and caught, (
        f"run {run['id']} trained on the newest rows alone, in a hurry: {_shown(run)}; "
        f"{run['status']}: {run['reason']}; the serving version stays"
    )


def stateful(story: Story) -> Outcome:
    """Put the policy of git in force and re-arm the trigger; a stateful run makes 1.1."""
    changed = story.policy(POLICY.read_text())
    story.hub.post("models/digits/triggers/accuracy/rearm")
    _wait_for_run(story, 2)
    run = story.run()
    ok = run["version"] == "1.1" and run["status"] in ("experiment", "promoted")
    causes = ", ".join(sorted({cause["kind"] for cause in run["causes"]}))
    return ok, (
        f"policy applied: {changed}; trigger re-armed; run {run['id']} ({run['mode']}, causes: "
        f"{causes}) trained {run['version']} on {run['rows']} fresh rows and old ones, at most "
        f"{run['peak_mb']} MB; {_shown(run)}; {run['status']}"
    )


def canary(story: Story) -> Outcome:
    """Wait for the canary of 1.1, promoted on live evidence; kill a device during its update."""
    story.wait(lambda: story.experiment("1.1")["status"] != "running", "the canary's end")
    killed = _kill_during_update(story)
    trial = story.experiment("1.1")
    story.promoted_at = story.mark("1.1 promoted", trial["ended_at"])
    story.fleet.start_device(KILLED, story.hub.url, None)
    story.wait(lambda: story.versions() == ["1.1"] * DEVICES, "all devices on 1.1")
    arms, (outcome,) = trial["figures"]["arms"], trial["figures"]["outcomes"]
    # As a device keeps it: without the documents, which are for people.
    here = Release.open(_current_release(story, KILLED), providers=DEFAULT_PROVIDERS)
    whole = here.manifest.version
    ok = trial["status"] == "promoted" and killed is not None and whole == "1.1"
    return ok, (
        f"canary on {arms['candidate']['devices']} of {DEVICES} devices: own accuracy "
        f"{outcome['candidate']:.3f} against {outcome['control']:.3f}, gain at least "
        f"{outcome['low']:+.3f} at any look; promoted; device "
        f"{KILLED} killed in phase {killed!r}, came back on a whole {whole}"
    )


def stateless(story: Story) -> Outcome:
    """Call a webhook as another system; a run from scratch makes 2.0, and the policy tries it."""
    # A run is over when the hub has noted what became of its candidate; a call before joins it.
    story.wait(lambda: story.run()["status"] == "promoted", "the end of run 2")
    path = "models/digits/triggers/labels-cleaned"
    token = story.hub.post(f"{path}/hook")["token"]
    requests.post(
        f"{story.hub.url}/v1/{path}/call",
        json={"job": "label review 17"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE,
    ).raise_for_status()
    _wait_for_run(story, 3)
    run = story.run()
    evidence = next(c["evidence"] for c in run["causes"] if c["trigger"] == "labels-cleaned")
    ok = (run["mode"], run["version"], run["status"]) == ("stateless", "2.0", "experiment")
    if ok:
        story.mark("2.0 tried")
        reason = "the demo goes on"
        story.hub.post(f"experiments/{run['experiment']}/stop", reason=reason)
        story.wait(lambda: story.versions() == ["1.1"] * DEVICES, "all devices back on 1.1")
    return ok, (
        f"webhook said {evidence['said']}; run {run['id']} ({run['mode']}) trained "
        f"{run['version']} on {run['rows']} fresh rows and all old ones; {_shown(run)}; "
        f"{run['status']} {run['experiment']}, ended by hand"
    )


def freshness(story: Story) -> Outcome:
    """Read what retraining more often would have been worth, on half a year of history."""
    path = story.folder / "freshness.json"
    story.wait(lambda: story.fleet.ended("freshness"), "the analysis")
    analysis = json.loads(path.read_text())
    names = ("never", *(f"every {each}" for each in EVERY.split(",")))
    losses = ", ".join(f"{name} {analysis['schedules'][name]['mean']:.3f}" for name in names)
    ok = analysis["verdict"]["schedule"] not in ("never", "every 1d") and analysis["trainings"] > 60
    return ok, (
        f"{analysis['trainings']} trainings on half a year of history, {analysis['measure']} on "
        f"its newest {analysis['rows']} rows: retrained {losses}; verdict: "
        f"{analysis['verdict']['text']}"
    )


def dry_run(story: Story) -> Outcome:
    """Replay history against the rules that judged live: when would each have fired?"""
    seconds = time.time() - story.began
    replay = story.hub.post("models/digits/triggers/dry-run", seconds=seconds)
    fired = {
        r["trigger"]: [round(m["at"] - story.began) for m in r["firings"]] for r in replay["rules"]
    }
    real = [f for f in story.hub.get("models/digits/triggers")["firings"] if f["kind"] == "drift"]
    shown = ", ".join(f"{name} at {times} s" for name, times in fired.items())
    ok = bool(fired["accuracy"] and fired["input-drift"]) and len(real) >= 1
    at = round(real[0]["at"] - story.began)
    return ok, f"replayed {seconds:.0f} s: {shown}; live, input-drift fired at {at} s"


def _firings(story: Story) -> dict[str, Any]:
    fired = story.hub.get("models/digits/triggers")["firings"]
    return {f["kind"]: f for f in fired if f["at"] >= story.drifted_at}


def _wait_for_run(story: Story, number: int) -> None:
    """Wait until run ``number`` has left the queue and its training is over."""

    def over() -> bool:
        runs = story.hub.get("models/digits/runs")
        return len(runs) >= number and runs[number - 1]["status"] not in ("waiting", "training")

    story.wait(over, f"run {number}")


def _checks(run: Any) -> dict[str, Any]:
    return {row["check"]: row for row in run["gate"]}


def _shown(run: Any) -> str:
    """The gate's two slices."""
    return ", ".join(
        f"{name} {row['candidate']:.3f} against {row['incumbent']:.3f} on {row['rows']} rows"
        for name, row in _checks(run).items()
        if name in ("fresh", "forgetting") and row["candidate"] is not None
    )


def _kill_during_update(story: Story) -> str | None:
    """Watch a device's own database and kill it between two steps of its update."""
    database = story.fleet.state(KILLED) / "device.db"
    deadline = time.monotonic() + PATIENCE
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        while time.monotonic() < deadline:
            update = _update_of(db)
            phase = update["phase"] if update else "idle"
            if phase != "idle":
                story.fleet.kill_device(KILLED)
                return str(phase)
            time.sleep(0.002)
    return None


def _current_release(story: Story, number: int) -> Path:
    with contextlib.closing(sqlite3.connect(story.fleet.state(number) / "device.db")) as db:
        update = _update_of(db)
    assert update is not None
    manifest: str = update["current"]["manifest"]
    return story.fleet.state(number) / "models" / "digits" / "releases" / manifest


def _update_of(db: sqlite3.Connection) -> dict[str, Any] | None:
    """Return what a device has noted of its updates of the model."""
    query = "SELECT content FROM value WHERE name = 'models/digits/update'"
    row = db.execute(query).fetchone()
    return json.loads(row[0]) if row else None
