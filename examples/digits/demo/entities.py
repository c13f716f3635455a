"""A step of the demo: answers by entity, computed on schedule by the cloud's model, held offline.

The entities are forms that come back every day, each with its picture; a kiosk in Europe holds the
answers to the forms of its region, and gives them while the hub is away.
"""

from __future__ import annotations

import time
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.model.release import Release
from examples.digits.demo.story import KIOSK, Outcome, Story

FORMS: Final = 300
POLICY: Final = f"""
model: {KIOSK}
cloud: digits-cloud
cascade: {{{{mode: local}}}}       # what is not held is answered here
batch:
  forms:                       # answers by entity, computed ahead and held by devices
    source: {{{{parquet: {{path}}}}}}
    entity: form
    attributes: [region]
    every: 3s                  # a real fleet: 4h
    valid: 1h
    entities: region           # a device holds those of its own region
    default: 0                 # for a form that nobody has seen
"""


def begin(story: Story) -> None:
    """Publish the model of kiosks, and have forms answered on schedule from now on."""
    story.publish(story.prepared(KIOSK))
    story.hub.post(f"models/{KIOSK}/promote", version="1.0")
    _write(story, story.holdout.X[:FORMS])
    path = (story.folder / "forms.parquet").absolute()
    story.policy(POLICY.format(path=path), KIOSK)


def forms(story: Story) -> Outcome:
    """Have a kiosk follow the answers on schedule."""
    story.wait(lambda: _generation(story) > 0, "a generation of forms for devices")
    token = story.hub.post("enrolment-tokens", model=KIOSK, count=1)["tokens"][0]["token"]
    with _kiosk(story, token) as device:
        device.sync()
        first = device.status()["entities"]["generation"]
        story.wait(lambda: _synced(device) > first, "the next generation, on schedule")
        second = device.status()["entities"]
    return second["generation"] > first, (
        f"{FORMS} forms answered by {second['version']} every 3 s; a kiosk in eu followed from "
        f"generation {first} to {second['generation']} and holds {second['entities']}"
    )


def offline(story: Story) -> Outcome:
    """Restart the kiosk while the hub is away, and ask it for the forms that it holds."""
    with _kiosk(story) as device:
        own = [device.predict(entity=f"form-{i}") for i in range(1, FORMS, 2)]
        truth = story.holdout.y[1:FORMS:2].tolist()
        right = sum(p.label == digit for p, digit in zip(own, truth, strict=True))
        stranger = device.predict(entity="form-of-nobody")
        microseconds = _microseconds(device)
    ages = [p.age for p in own if p.age is not None]
    ok = {p.source for p in own} == {"pack"} and stranger.source == "default"
    return ok and right / len(own) > 0.9, (
        f"a kiosk restarted meanwhile: {len(own)} answers by entity from the pack, "
        f"{right / len(own):.1%} right, {microseconds:.1f} µs each, {max(ages):.0f} s old; "
        f"an unknown form: {stranger.source}"
    )


def _kiosk(story: Story, token: str | None = None) -> EdgeDevice:
    return EdgeDevice(
        story.folder / "kiosk",
        token=token,
        model=KIOSK,
        background=False,
        config=DeviceConfig(monitoring=False),
        attributes={"region": "eu"},
        hub=story.hub.url,
    )


def _write(story: Story, pictures: Any) -> None:
    folder = story.folder / "releases" / "digits-cloud-1.0"
    columns = [c.name for c in Release.open(folder).manifest.signature.columns]
    table = {name: pictures[:, i] for i, name in enumerate(columns)}
    regions = ["eu" if i % 2 else "us" for i in range(len(pictures))]
    names = [f"form-{i}" for i in range(len(pictures))]
    rows = pa.table({"form": names, "region": regions, **table})
    pq.write_table(rows, story.folder / "forms.parquet")


def _generation(story: Story) -> int:
    index = story.hub.get(f"models/{KIOSK}/entities")["index"]
    return 0 if index is None else int(index["generation"])


def _synced(device: EdgeDevice) -> int:
    device.sync()
    return int(device.status()["entities"]["generation"])


def _microseconds(device: EdgeDevice, calls: int = 2_000) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        device.predict(entity="form-1")
    return (time.perf_counter() - began) / calls * 1e6
