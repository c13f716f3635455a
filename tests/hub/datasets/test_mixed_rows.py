"""A model of numbers and texts: retrained from shared rows, judged, packed, and stopped by data."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert

from cloud_hub.data.dataset import Dataset
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.runs.store import RunCause, RunRecord
from cloud_hub.telemetry.tables import samples
from converters import convert
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import KeyVotes, Message, SampleBatch, Upload
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.schema import InputSchema
from edge_sdk.packs.reader import Pack
from tests import simulated_device
from tests.hub.datasets.mixed_trainers import model
from tests.hub.runs.retraining import request, unchanged
from tests.simulated_device import vouched

NOW = int(time.time())
ROOT = Path(__file__).parents[3]
CITIES = np.array(["Bern", "Basel", "Köln, Süd", "Ulm"])
POLICY = f"""
sharing: {{samples: true, per_window: 1000}}
packs: {{every: 1s, minimum_devices: 3}}
train:
  entry: tests.hub.datasets.mixed_trainers:train
  path: {ROOT}
  mode: stateless
  minimum_samples: 200
"""


def table(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": random.normal(40, 10, rows).astype(np.float32),
            "visits": random.poisson(4, rows).astype(np.int64),
            "city": CITIES[random.integers(0, len(CITIES), rows)],
        }
    )
    risky = (X["age"] > 40).to_numpy() ^ (X["city"] == "Bern").to_numpy()
    return X, np.where(risky, "high", "low")


def share(hub: Hub, y: np.ndarray | None = None) -> None:
    X, labels = table(300, 3)
    labels = labels if y is None else y
    rows = tuple((float(a), int(v), c) for a, v, c in X.itertuples(index=False))
    batch = SampleBatch("demo", "1.0", rows, tuple(labels.tolist()), (NOW,) * len(rows))
    message = Message("b1", 1, "samples", to_plain(batch))
    assert hub.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), Upload((message,))).accepted == 1


@pytest.fixture
def mixed(inner: Hub, tmp_path: Path) -> Hub:
    """A poor 1.0 of mixed columns serves; its holdout came as CSV, its history as Parquet."""
    X, y = table(300, 1)
    poor = model().fit(X, np.where(y == "high", "low", "high"))
    inner.registry.publish(
        convert(poor, X, y, name="demo", out=tmp_path / "1.0"), actor="test", gated=True
    )
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    inner.registry.set_policy("demo", POLICY, "test")
    held, truth = table(300, 2)
    held.assign(y=truth).to_csv(tmp_path / "held.csv", index=False)
    held, truth = table(200, 4)
    held.assign(y=truth).to_parquet(tmp_path / "train.parquet")
    for name, file in (("holdout", "held.csv"), ("train", "train.parquet")):
        inner.datasets.add("demo", name, Dataset.read(tmp_path / file), actor="test")
    return inner


def run_of(hub: Hub) -> RunRecord:
    run = request(hub)
    assert run.datasets in ((), ("fresh@1", "train@1"))
    return run


def test_texts_are_retrained_judged_and_every_version_names_its_data(mixed: Hub) -> None:
    share(mixed)
    run = run_of(mixed)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    assert [check.check for check in run.gate][:2] == ["fresh", "forgetting"]
    assert mixed.datasets.uses("demo", "2.0") == {
        "2.0": {"trained": ["fresh@1", "train@1"], "judged": ["holdout@1"]},
    }
    columns = mixed.registry.release("demo", "2.0").manifest.signature.columns
    assert [(c.name, c.dtype) for c in columns] == [
        ("age", "float32"), ("visits", "int64"), ("city", "string"),
    ]  # fmt: skip
    fresh = mixed.datasets.open(mixed.datasets.get("demo", "fresh@1"))
    X, y = table(300, 3)
    assert fresh.X.astype({"city": object}).equals(X.astype({"city": object}))
    assert fresh.labels is not None
    assert fresh.labels.tolist() == y.tolist()


def test_data_that_fails_stops_the_run_in_words_and_what_serves_goes_on(mixed: Hub) -> None:
    share(mixed, np.array(["high"] * 300))
    run = run_of(mixed)
    assert run.status == "failed"
    assert run.reason == "fresh@1: data: y: all labels are the same, 'high'"
    report, history = run.validation
    assert (report["dataset"], history["dataset"]) == ("fresh@1", "train@1")
    assert [f["check"] for f in report["findings"] if f["level"] == "fails"] == ["label_balance"]
    unchanged(mixed)


def test_a_pack_of_rows_with_texts_answers_as_the_model_does(mixed: Hub) -> None:
    X, _ = table(20, 9)
    mixed.datasets.add("demo", "catalogue", Dataset.read(X), actor="test")
    release = mixed.registry.release("demo", "1.0")
    signature = release.manifest.signature
    feed = InputSchema(signature).batch(X)
    keys = [Canonicaliser(signature).feed_key(feed, i) for i in range(20)]
    wanted = tuple(key.hex() for key in keys[:5] if key is not None)
    for device in vouched(mixed, 3):
        body = to_plain(KeyVotes("demo", "1.0", NOW // 300 * 300 - 300, wanted))
        mixed.telemetry.ingest(
            EnrolledDevice(device, ("demo",)), Upload((Message("b1", 1, "votes", body),))
        )
    record = mixed.packs.build("demo", time.time())
    assert record is not None
    assert record.entries == 5
    digest = record.sha256
    path = f"packs/demo/{digest}.{digest}.pack"
    with mixed.repository.targets.local_file(path) as file, Pack.open(file, release) as pack:
        assert [pack.get(key) is not None for key in keys if key is not None] == [True] * 5 + [
            False
        ] * 15


def give(hub: Hub, device: str, rows: int, seed: int, **changes: float) -> None:
    """Store rows of a device as if it had shared them, however many."""
    X, labels = table(rows, seed)
    values = X.assign(**changes).itertuples(index=False)
    shared = [
        {
            "device": device, "model": "demo", "version": "1.0", "taken": NOW,
            "row": [float(age), int(visits), city], "label": str(label),
        }
        for (age, visits, city), label in zip(values, labels, strict=True)
    ]  # fmt: skip
    with hub.engine.begin() as db:
        db.execute(insert(samples), shared)


def test_one_device_that_shares_ten_thousand_rows_under_four_names_is_cut_and_named(
    mixed: Hub,
) -> None:
    token = mixed.fleet.new_token("demo", uses=4, seconds=60, actor="test")
    hostile = [simulated_device.enrolled(mixed, token) for _ in range(4)]
    for i, device in enumerate(hostile):
        give(mixed, device, 2_500, 50 + i, age=1e6)
    for i, device in enumerate(vouched(mixed, 12)):
        give(mixed, device, 20, 100 + i)
    mixed.runs.request("demo", RunCause("manual"))
    mixed.runs.tick(time.time())
    record = mixed.datasets.get("demo", "fresh@1")
    fresh = mixed.datasets.open(record)
    assert fresh.devices is not None
    theirs = sum(device in hostile for device in fresh.devices.tolist())
    assert (theirs, len(fresh)) == (60, 300)  # a fifth, of four names together
    assert "above their cap, left out: " in record.source
    (run,) = mixed.runs.records("demo")
    assert "above their cap, left out: " in mixed.runs.log(run.id, "collect")
    mixed.runs.stop()


def test_a_device_whose_values_stop_a_run_is_named_and_once_revoked_stops_none(mixed: Hub) -> None:
    honest = vouched(mixed, 12)
    for i, device in enumerate(honest):
        give(mixed, device, 20, 100 + i)
    first = mixed.telemetry.samples("demo")
    assert first is not None
    mixed.datasets.add("demo", "fresh", first, actor="test")
    mixed.datasets.set_uses("demo", "1.0", "trained", ["fresh@1"])
    (hostile,) = vouched(mixed, 1)
    give(mixed, hostile, 50, 7, age=1e6)
    for _ in range(2):  # what stopped one run does not become usual in the next
        run = request(mixed)
        assert run.status == "failed"
        assert "age: expected" in run.reason
        assert f"50 are of the device {hostile!r}" in run.reason
    mixed.fleet.identities.revoke(hostile, reason="lies", actor="anna")
    mixed.runs.request("demo", RunCause("manual"))
    mixed.runs.tick(time.time())
    assert mixed.runs.records("demo")[-1].status == "training"
    mixed.runs.stop()
