"""The ten steps of the demo. Each returns whether it went as it should, and its figures."""

from __future__ import annotations

import contextlib
import json
import pickle
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud_hub.client import AdminClient
from cloud_hub.errors import HubFault
from cloud_hub.hub import initialise
from cloud_hub.registry.service import Dataset
from cloud_hub.settings import Settings
from converters import convert
from edge_sdk.release import Release
from examples.digits import training
from examples.digits.data import Digits, catalogue, pilot, split
from examples.digits.demo import journals
from examples.digits.demo.processes import Fleet

DEVICES = 5
KILLED = 4
"""The device that is killed during an update."""

BAD = "2.0"
"""The version that a person publishes by mistake."""

POLICY = Path(__file__).parent.parent / "policy.yaml"
Outcome = tuple[bool, str]


class Story:
    """What the steps share."""

    hub: AdminClient

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = Fleet(folder)
        self.train, self.holdout, self.stream = split()
        self.drifted_at = 0.0
        self.promoted_at = 0.0
        self.began = time.time()
        self.marks: list[tuple[float, str]] = []

    def start_hub(self) -> Outcome:
        """1. The hub, as its own process."""
        initialise(Settings(self.fleet.hub_data))
        self.hub = self.fleet.start_hub()
        return True, f"{self.hub.url}, SQLite and a folder, keys for 3 roles, 1 signed repository"

    def publish_first(self) -> Outcome:
        """2. Train, convert, certify, sign, publish."""
        cloud = convert(
            training.cloud_model(self.train),
            self.holdout.X,
            self.holdout.y,
            name="digits-cloud",
            out=self.folder / "releases" / "digits-cloud-1.0",
            data=(self.train.X, self.train.y),
        )
        self._publish(cloud)
        self.hub.post("models/digits-cloud/promote", version="1.0")
        model = training.first_model(self.train)
        release = self._convert(model, "1.0", self.train, cloud)
        for kind, rows in (("holdout", self.holdout), ("train", self.train)):
            self.hub.post(f"models/digits/datasets/{kind}", Dataset(rows.X, rows.y).to_bytes())
        known = catalogue(self.stream)
        self.hub.post(
            "models/digits/datasets/catalogue", Dataset(known["X"], known["y"]).to_bytes()
        )
        self.hub.put("models/digits/policy", POLICY.read_bytes())
        self._publish(release, pickle.dumps(model))
        self.hub.post("models/digits/promote", version="1.0")
        chosen = next(
            v for v in release.certificate().variants if v.name == release.manifest.variant
        )
        cascade = release.manifest.cascade
        return True, (
            f"digits 1.0: {chosen.name}, {chosen.bytes} bytes, accuracy {chosen.score:.3f}, "
            f"{chosen.label_flips:.1%} label flips, {chosen.row_us:.0f} µs a row; asks the cloud "
            f"below {cascade.threshold if cascade else '–'}; cloud model accuracy "
            f"{cloud.manifest.metrics['score']:.3f}, {cloud.model_path.stat().st_size} bytes"
        )

    def start_devices(self) -> Outcome:
        """3. Five devices enrol, update themselves and answer."""
        token = self.hub.post("enrolment-tokens", model="digits", uses=DEVICES)["token"]
        for number in range(DEVICES):
            self.fleet.start_device(number, self.hub.url, token)
        self._wait(lambda: self._versions() == ["1.0"] * DEVICES, 60, "all devices on 1.0")
        self._wait(lambda: len(self._answers()) > 500, 60, "500 answers")
        lines = self._answers()
        return True, (
            f"{DEVICES} processes enrolled, all on 1.0; {len(lines)} answers so far, accuracy "
            f"{journals.accuracy(lines):.3f}"
        )

    def build_pack(self) -> Outcome:
        """4. A pack for frequent inputs; answers from pack, model and cloud."""
        self._wait(lambda: bool(self.hub.get("models/digits/packs")), 60, "a pack")
        packs = self.hub.get("models/digits/packs")
        since = time.time()
        self._wait(
            lambda: set(journals.sources(self._answers(since))) == {"pack", "model", "cloud"},
            40,
            "answers from pack, model and cloud",
        )
        time.sleep(3)
        lines = self._answers(since)
        found = journals.sources(lines)
        median = {s: self._median([x["us"] for x in lines if x["source"] == s]) for s in found}
        self.marks.append((since, "pack"))
        return True, (
            f"{packs[-1]['entries']} keys that 3+ devices voted for, answered by "
            f"{packs[-1]['answered_by']}, {packs[-1]['length']} bytes; answers now: "
            + ", ".join(f"{s} {found[s]} (median {median[s]:.0f} µs)" for s in sorted(found))
        )

    def kill_hub(self) -> Outcome:
        """9a. The hub dies and comes back; devices go on."""
        since = time.time()
        self.marks.append((since, "hub killed"))
        self.fleet.kill_hub()
        time.sleep(4)
        during = self._answers(since)
        self.hub = self.fleet.start_hub()
        back = time.time()
        self.marks.append((back, "hub back"))
        gaps = [journals.longest_gap(self._device_answers(n, since)) for n in range(DEVICES)]
        degraded = sum(line["degraded"] for line in during)
        ok = len(during) > 0 and max(gaps) < 2.0
        return ok, (
            f"hub away for {back - since:.1f} s (SIGKILL): {len(during)} answers meanwhile, "
            f"{degraded} of them marked degraded, longest pause of any device {max(gaps):.2f} s"
        )

    def drift(self) -> Outcome:
        """5. The camera changes; both triggers fire."""
        self.fleet.camera.write_text("changed")
        self.drifted_at = time.time()
        self.marks.append((self.drifted_at, "camera changed"))
        self._wait(lambda: {"performance", "drift"} <= set(self._firings()), 60, "both triggers")
        firings = self._firings()
        performance, drift = firings["performance"]["evidence"], firings["drift"]["evidence"]
        worst = drift["worst"][0]
        lines = self._answers(self.drifted_at)
        return True, (
            f"the model's own accuracy by late labels {performance['accuracy']:.3f}, anytime-valid "
            f"upper bound {performance['upper_bound']:.3f} < {performance['below']} on "
            f"{performance['labelled']} labels; {drift['drifted']} of {drift['features']} "
            f"features drifted, worst {worst['feature']}: KS {worst['ks']}, PSI {worst['psi']}, "
            f"n {worst['n']}; answers served (cloud included) {journals.accuracy(lines):.3f}"
        )

    def retrain(self) -> Outcome:
        """6. A stateful run makes 1.1; the offline gate looks at fresh and old rows."""
        self._wait(lambda: self._run()["status"] not in ("waiting", "training"), 90, "the run")
        run = self._run()
        checks = {row["check"]: row for row in run["gate"]}
        shown = "; ".join(
            f"{name}: {row['candidate']:.3f} against {row['incumbent']:.3f} on {row['rows']} rows"
            for name, row in checks.items()
            if row["candidate"] is not None
        )
        ok = run["version"] == "1.1" and run["status"] in ("experiment", "promoted")
        causes = ", ".join(sorted({cause["kind"] for cause in run["causes"]}))
        return ok, (
            f"run {run['id']} ({run['mode']}, causes: {causes}) trained {run['version']} on "
            f"{run['rows']} fresh rows; {shown}; {run['status']}"
        )

    def canary(self) -> Outcome:
        """7. 1.1 as a canary, promoted on live evidence; 9b. a device dies during the update."""
        self._wait(lambda: self._experiment("1.1")["status"] != "running", 90, "the canary's end")
        killed = self._kill_during_update()
        trial = self._experiment("1.1")
        self.promoted_at = trial["ended_at"]
        self.marks.append((self.promoted_at, "1.1 promoted"))
        self.fleet.start_device(KILLED, self.hub.url, None)
        self._wait(lambda: self._versions() == ["1.1"] * DEVICES, 60, "all devices on 1.1")
        arms, (outcome,) = trial["figures"]["arms"], trial["figures"]["outcomes"]
        whole = Release.open(self._current_release(KILLED)).manifest.version
        ok = trial["status"] == "promoted" and killed is not None and whole == "1.1"
        return ok, (
            f"canary on {arms['candidate']['devices']} of {DEVICES} devices: own accuracy "
            f"{outcome['candidate']:.3f} against {outcome['control']:.3f}, gain at least "
            f"{outcome['low']:+.3f} at any look; promoted; device "
            f"{KILLED} killed in phase {killed!r}, came back on a whole {whole}"
        )

    def bad_version(self) -> Outcome:
        """8. A bad version, past the gate by hand, is caught and rolled back."""
        release = self._convert(training.bad_model(self.train), BAD, self.train, None)
        try:
            self._publish(release)
            refused = "not refused"
        except HubFault as error:
            refused = str(error).splitlines()[0]
        self._publish(release, override="demo: a person overrides the gate")
        self.hub.post("models/digits/canary", version=BAD)
        self.marks.append((time.time(), f"{BAD} on canary"))
        self._wait(lambda: self._experiment(BAD)["status"] != "running", 90, "the verdict")
        trial = self._experiment(BAD)
        self.marks.append((trial["ended_at"], f"{BAD} rolled back"))
        self._wait(lambda: self._versions() == ["1.1"] * DEVICES, 60, "all devices back on 1.1")
        seconds = trial["ended_at"] - trial["started_at"]
        exposed = trial["figures"]["arms"]["candidate"]["predictions"]
        ok = trial["status"] == "aborted" and "not refused" not in refused
        return ok, (
            f"gate refused it ({refused}); overridden; canary aborted after {seconds:.1f} s and "
            f"{exposed} reported answers: {trial['reason']}; all devices back on 1.1"
        )

    def exactly_once(self) -> Outcome:
        """9c. Every report arrived exactly once."""
        time.sleep(3)
        after = self._answers(self.promoted_at + 5)
        good = [line for line in after if line["version"] != BAD]
        self.fleet.stop_devices()
        reported = self.hub.get("models/digits/telemetry")["devices"]
        shown, ok = [], True
        for number in range(DEVICES):
            made = len(self._device_answers(number))
            got = reported.get(journals.device_name(self.fleet.journal(number)), 0)
            lost = made - got
            ok &= 0 <= lost <= (600 if number == KILLED else 0)
            shown.append(f"{got}/{made}")
        return ok, (
            f"reported/made by device: {', '.join(shown)} (device {KILLED} was killed and lost "
            f"what it had not yet stored); accuracy on changed pictures now "
            f"{journals.accuracy(good):.3f}"
        )

    def _convert(self, model: Any, version: str, data: Digits, cloud: Release | None) -> Release:
        return convert(
            model,
            self.holdout.X,
            self.holdout.y,
            name="digits",
            version=version,
            out=self.folder / "releases" / f"digits-{version}",
            data=(data.X, data.y),
            profile=pilot(self.stream),
            calibrate_against=cloud,
        )

    def _publish(
        self, release: Release, state: bytes | None = None, override: str | None = None
    ) -> None:
        key = self.fleet.hub_data / "keys" / "releases.pem"
        self.hub.publish(release.folder, key, training_state=state, override=override)

    def _kill_during_update(self) -> str | None:
        """Watch a device's own database and kill it between two steps of its update."""
        database = self.fleet.state(KILLED) / "device.db"
        deadline = time.monotonic() + 30
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            while time.monotonic() < deadline:
                row = db.execute("SELECT content FROM value WHERE name = 'update'").fetchone()
                phase = json.loads(row[0])["phase"] if row else "idle"
                if phase != "idle":
                    self.fleet.kill_device(KILLED)
                    return str(phase)
                time.sleep(0.002)
        return None

    def _current_release(self, number: int) -> Path:
        with sqlite3.connect(self.fleet.state(number) / "device.db") as db:
            row = db.execute("SELECT content FROM value WHERE name = 'update'").fetchone()
        manifest: str = json.loads(row[0])["current"]["manifest"]
        return self.fleet.state(number) / "releases" / manifest

    def _versions(self) -> list[str | None]:
        return [device["version"] for device in self.hub.get("devices")]

    def _firings(self) -> dict[str, Any]:
        fired = self.hub.get("models/digits/triggers")["firings"]
        return {f["kind"]: f for f in fired if f["at"] >= self.drifted_at}

    def _run(self) -> Any:
        return self.hub.get("models/digits/runs")[0]

    def _experiment(self, candidate: str) -> Any:
        found = self.hub.get("models/digits/experiments")
        return next(e for e in found if e["candidate"] == candidate)

    def all_answers(self) -> list[journals.Line]:
        """Every answer of every device, in order of time."""
        return sorted(self._answers(), key=lambda line: float(line["t"]))

    def _answers(self, since: float = 0.0) -> list[journals.Line]:
        return [line for n in range(DEVICES) for line in self._device_answers(n, since)]

    def _device_answers(self, number: int, since: float = 0.0) -> list[journals.Line]:
        path = self.fleet.journal(number)
        return journals.answers(path, since) if path.exists() else []

    def _wait(self, reached: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if reached():
                return
            time.sleep(0.25)
        raise TimeoutError(f"waited {seconds:.0f} s for {what}")

    @staticmethod
    def _median(values: list[float]) -> float:
        return sorted(values)[len(values) // 2] if values else 0.0
