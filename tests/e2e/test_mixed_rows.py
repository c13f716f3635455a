"""A table of numbers, texts, categories, booleans, dates and missing values, all the way: from a
user's first command to a retrained release that devices serve, and a pack of such rows.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

from cloud_hub.cli.main import main as edge_hub
from cloud_hub.data.dataset import Dataset
from converters.cli.main import main as edge_convert
from edge_sdk import EdgeDevice
from tests.e2e.live import PATIENT
from tests.e2e.loop_trainers import COLUMNS, TEXTS, model
from tests.servers import HubProcess
from tests.waiting import wait_for

MODEL = "visits"
ROOT = Path(__file__).parents[2]
POLICY = f"""
sharing: {{samples: true, per_window: 1000}}
reporting: {{window: 1s, minimum_observations: 1, votes: 1000}}
packs: {{every: 1s, minimum_devices: 3}}
experiment: {{steps: [0.5, 1.0], soak: 0s, minimum_labels: 20, minimum_devices: 1}}
train:
  entry: tests.e2e.loop_trainers:train
  path: {ROOT}
  mode: stateless
  minimum_samples: 150
"""
DEVICES = 6


def table(rows: int, seed: int) -> pd.DataFrame:
    """Rows with the label ``outcome``; a twentieth of the ages and of the cities is missing."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, rows).round(1),
            "visits": random.poisson(4, rows),
            "city": random.choice(["Bern", "Basel", "Köln, Süd", "NA"], rows),
            "plan": pd.Categorical(random.choice(["gold", "free", "pro"], rows)),
            "zip": random.choice(["01067", "80331", "00501"], rows),
            "member": random.random(rows) < 0.5,
            "seen": pd.to_datetime(1.7e9 + random.integers(0, 10**7, rows), unit="s"),
        }
    )
    score = frame["age"] - 40 + 15 * (frame["plan"] == "gold") - 15 * (frame["city"] == "Bern")
    frame["outcome"] = np.where(score > 0, "high", "low")
    frame.loc[random.random(rows) < 0.05, "age"] = np.nan
    frame.loc[random.random(rows) < 0.05, "city"] = None
    return frame


def run(hub: HubProcess, *words: str, status: int = 0) -> None:
    assert edge_hub([*words, "--data", str(hub.data)]) == status, words


def release(tmp_path: Path) -> Path:
    """A release that is mostly wrong, from a model file and rows in CSV, by the command line."""
    frame = table(600, 1)
    X = frame[COLUMNS].copy()
    X[TEXTS] = X[TEXTS].astype(object).fillna("?")
    wrong = {"high": "low", "low": "high"}
    fitted = model().fit(X, frame["outcome"].map(wrong))
    (tmp_path / "model.skops").write_bytes(skops.io.dumps(fitted))
    held = table(300, 2)
    held.assign(outcome=held["outcome"].map(wrong)).to_csv(tmp_path / "held.csv", index=False)
    words = (
        f"{tmp_path}/model.skops --data {tmp_path}/held.csv --label outcome --name {MODEL} "
        f"--out {tmp_path}/1.0 --variants float32"
    )
    assert edge_convert(words.split()) == 0
    return tmp_path / "1.0"


@pytest.fixture
def served(hub: HubProcess, tmp_path: Path) -> HubProcess:
    """A poor 1.0 serves; history came as CSV, the holdout as Parquet, the catalogue as CSV."""
    run(hub, "publish", str(release(tmp_path)), "--promote")
    hub.admin.put(f"models/{MODEL}/policy", POLICY.encode())
    table(400, 3).to_csv(tmp_path / "train.csv", index=False)
    table(300, 4).to_parquet(tmp_path / "holdout.parquet")
    for name, file in (("train", "train.csv"), ("holdout", "holdout.parquet")):
        run(hub, "data", "add", MODEL, name, str(tmp_path / file), "--label", "outcome")
    catalogue().to_csv(tmp_path / "catalogue.csv", index=False)
    run(hub, "data", "add", MODEL, "catalogue", str(tmp_path / "catalogue.csv"))
    return hub


def catalogue() -> pd.DataFrame:
    """Rows that packs may answer: those without missing values."""
    return table(40, 5).dropna().head(20)[COLUMNS]


def plain(row: Any) -> dict[str, Any]:
    return {name: None if pd.isna(row[name]) else row[name] for name in COLUMNS}


def answer(device: EdgeDevice, frame: pd.DataFrame) -> float:
    """Predict rows and give their labels; return the share of right answers."""
    right = []
    for row in frame.to_dict("records"):
        prediction = device.predict(plain(row))
        right.append(prediction.label == row["outcome"])
        device.feedback(prediction.id, label=row["outcome"])
    report(device)
    return float(np.mean(right))


def report(device: EdgeDevice) -> None:
    device._service.collect(final=True)
    assert device.sync().errors == {}


def newest_run(hub: HubProcess) -> dict[str, Any]:
    return dict(hub.admin.get(f"models/{MODEL}/runs")[-1])


def over(hub: HubProcess) -> dict[str, Any]:
    """The newest run, once it neither waits nor trains."""
    wait_for(lambda: newest_run(hub)["status"] not in ("waiting", "training"), "the end of a run")
    return newest_run(hub)


def test_mixed_rows_go_from_a_table_to_a_retrained_release_and_a_pack(
    served: HubProcess, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as closing:
        options = {"background": False, "share": True, "config": PATIENT, "hub": served.url}
        devices = [
            closing.enter_context(
                EdgeDevice(tmp_path / f"d{i}", token=served.token(MODEL), model=MODEL, **options)
            )
            for i in range(DEVICES)
        ]
        assert all(answer(device, table(60, 10 + i)) < 0.2 for i, device in enumerate(devices))
        run(served, "runs", "start", MODEL, "--reason", "it is mostly wrong")
        trained = over(served)
        assert trained["status"] == "experiment", trained["reason"]
        promoted(served, devices)
        assert answer(devices[0], table(300, 4)) > 0.85
        named_data(served)
        run(served, "runs", "repeat", str(trained["id"]))
        again = over(served)
        assert (again["status"], again["repeats"]) == ("repeated", trained["id"]), again["reason"]
        packed(devices)


def promoted(hub: HubProcess, devices: list[EdgeDevice]) -> None:
    """Let the fleet try the candidate, until it serves."""

    def done() -> bool:
        for i, device in enumerate(devices):
            answer(device, table(30, 100 + i))
        return str(newest_run(hub)["status"]) != "experiment"

    wait_for(done, "the end of the experiment")
    assert newest_run(hub)["status"] == "promoted", newest_run(hub)["reason"]
    for device in devices:
        device.sync()
        assert device.status()["version"] == "2.0"


def named_data(hub: HubProcess) -> None:
    """The version names its data, and the rows that devices shared are what they were."""
    uses = hub.admin.get(f"models/{MODEL}/versions/2.0/datasets")
    assert uses == {"trained": ["fresh@1", "train@1"], "judged": ["holdout@1"]}
    fresh = Dataset.read(hub.admin.fetch(f"models/{MODEL}/datasets/fresh@1/rows"))
    assert set(fresh.X["city"].dropna()) == {"Bern", "Basel", "Köln, Süd", "NA"}
    assert set(fresh.X["zip"]) == {"01067", "80331", "00501"}
    assert fresh.X["member"].dtype == bool
    assert fresh.X["age"].isna().any()
    assert fresh.X["city"].isna().any()


def packed(devices: list[EdgeDevice]) -> None:
    """Ask for the same rows on every device, until a pack answers them as the model does."""
    rows = [plain(row) for row in catalogue().to_dict("records")]
    by_model = [devices[0].predict(row).label for row in rows]

    def done() -> bool:
        for device in devices:
            for row in [*rows, *rows]:  # what a window sees once is not asked for
                device.predict(row)
            report(device)
        return all(devices[0].predict(row).source == "pack" for row in rows)

    wait_for(done, "a pack of rows with texts")
    assert [devices[0].predict(row).label for row in rows] == by_model
