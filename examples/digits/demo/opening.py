"""First steps of the demo: a hub, a first version, a fleet, a pack, a hub that is killed."""

from __future__ import annotations

import os
import pickle
import time
from functools import partial
from typing import Any, Final

from cloud_hub.data.dataset import Dataset
from converters import convert
from edge_sdk.model.release import Release
from examples.digits import training
from examples.digits.data import catalogue
from examples.digits.demo import entities, freshening, journals, trials
from examples.digits.demo.story import DEVICES, KIOSK, POLICY, Outcome, Story

AWAY_SECONDS: Final = 4.0
"""For so long at least the hub stays dead."""


def start_hub(story: Story) -> Outcome:
    """Start the hub, as its own process, while the first models are trained and converted."""
    story.prepare("cloud", partial(_cloud_release, story))
    story.prepare("first", partial(_first_release, story))
    story.fleet.make_hub()
    story.hub = story.fleet.start_hub()
    return True, f"{story.hub.url}, {_engines()}, keys for 3 roles, 1 signed repository"


def _engines() -> str:
    """Return where the hub keeps and computes what it has, as its environment says."""
    tables = "PostgreSQL" if os.environ.get("HUB_DATABASE_URL") else "SQLite"
    files = "a bucket" if os.environ.get("HUB_ARTIFACTS_URL") else "a folder"
    ray = "; heavy work on Ray" if os.environ.get("HUB_ENGINE") == "ray" else ""
    return f"{tables} and {files}{ray}"


def _cloud_release(story: Story) -> Release:
    return convert(
        training.cloud_model(story.train),
        story.holdout.X,
        story.holdout.y,
        name="digits-cloud",
        out=story.folder / "releases" / "digits-cloud-1.0",
        data=(story.train.X, story.train.y),
    )


def _first_release(story: Story) -> tuple[Release, Any]:
    model = training.first_model(story.train)
    return story.convert(model, "1.0", story.train, story.prepared("cloud")), model


def publish_first(story: Story) -> Outcome:
    """Train, convert, certify, sign and publish 1.0 and the cloud's model."""
    for kind, rows in (("holdout", story.holdout), ("train", story.train)):
        story.hub.post(f"models/digits/datasets/{kind}", Dataset.of(rows.X, rows.y).to_bytes())
    recurring = Dataset.of(*catalogue(story.stream).values())
    story.hub.post("models/digits/datasets/catalogue", recurring.to_bytes())
    story.policy(POLICY.read_text())
    cloud = story.prepared("cloud")
    story.publish(cloud)
    story.hub.post("models/digits-cloud/promote", version="1.0")
    release, model = story.prepared("first")
    story.publish(release, pickle.dumps(model))
    story.hub.post("models/digits/promote", version="1.0")
    story.prepare(KIOSK, lambda: story.convert(model, "1.0", story.train, None, KIOSK))
    chosen = next(v for v in release.certificate().variants if v.name == release.manifest.variant)
    cascade = release.manifest.cascade
    return True, (
        f"digits 1.0: {chosen.name}, {chosen.bytes} bytes, accuracy {chosen.score:.3f}, "
        f"{chosen.label_flips:.1%} label flips, {chosen.row_us:.0f} µs a row; asks the cloud "
        f"below {cascade.threshold if cascade else '–'}; cloud model accuracy "
        f"{cloud.manifest.metrics['score']:.3f}, {cloud.model_path.stat().st_size} bytes"
    )


def start_devices(story: Story) -> Outcome:
    """Start the devices: they enrol, update themselves and answer."""
    # One each: devices of one token would be one voter, and no input would get into a pack.
    tokens = story.hub.post("enrolment-tokens", model="digits", count=DEVICES)["tokens"]
    for number, made in enumerate(tokens):
        story.fleet.start_device(number, story.hub.url, made["token"])
    entities.begin(story)
    story.wait(lambda: story.versions() == ["1.0"] * DEVICES, "all devices on 1.0")
    story.wait(lambda: len(story.answers()) > 500, "500 answers")
    lines = story.answers()
    return True, (
        f"{DEVICES} processes enrolled, all on 1.0; {len(lines)} answers so far, accuracy "
        f"{journals.accuracy(lines):.3f}"
    )


def build_pack(story: Story) -> Outcome:
    """Wait for a pack of frequent inputs, and answers from pack, model and cloud."""
    story.wait(lambda: bool(story.hub.get("models/digits/packs")), "a pack")
    packs = story.hub.get("models/digits/packs")
    since = time.time()
    story.wait(
        lambda: set(journals.sources(story.answers(since))) == {"pack", "model", "cloud"},
        "answers from pack, model and cloud",
    )
    story.wait(lambda: len(story.answers(since)) > 1_000, "a thousand answers")
    lines = story.answers(since)
    counts = journals.sources(lines)
    median = {s: middle([x["us"] for x in lines if x["source"] == s]) for s in counts}
    story.mark("pack", since)
    return True, (
        f"{packs[-1]['entries']} keys that 3+ devices voted for, answered by "
        f"{packs[-1]['answered_by']}, {packs[-1]['length']} bytes; answers now: "
        + ", ".join(f"{s} {counts[s]} (median {median[s]:.0f} µs)" for s in sorted(counts))
    )


def kill_hub(story: Story) -> Outcome:
    """Kill the hub and start it again; devices go on answering, and a kiosk that starts does."""
    since = story.mark("hub killed")
    story.fleet.kill_hub()
    trials.prepare(story)
    freshening.start_freshness(story)
    whole, kiosk = entities.offline(story)
    time.sleep(max(0.0, since + AWAY_SECONDS - time.time()))
    during = story.answers(since)
    story.hub = story.fleet.start_hub()
    back = story.mark("hub back")
    gaps = [journals.longest_gap(story.device_answers(n, since)) for n in range(DEVICES)]
    degraded = sum(line["degraded"] for line in during)
    # A device that waited for the hub would have been silent for as long as it was away.
    ok = whole and len(during) > 0 and max(gaps) < (back - since) / 2
    return ok, (
        f"hub away for {back - since:.1f} s (SIGKILL): {len(during)} answers meanwhile, "
        f"{degraded} of them marked degraded, longest pause of any device {max(gaps):.2f} s; "
        f"{kiosk}"
    )


def middle(values: list[float]) -> float:
    """Return the median; 0 without any values."""
    return sorted(values)[len(values) // 2] if values else 0.0
