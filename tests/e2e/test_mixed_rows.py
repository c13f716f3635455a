"""A table of numbers, texts, categories, booleans, dates and missing values, all the way: from a
user's first command to a retrained release that devices serve, and a pack of such rows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cloud_hub.cli.main import main as edge_hub
from cloud_hub.data.dataset import Dataset
from converters.cli.main import main as edge_convert
from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from tests.e2e.live import PATIENT
from tests.hub.datasets.loop_trainers import COLUMNS, TEXTS, model
from tests.servers import HubProcess
from tests.waiting import wait_for

MODEL = "visits"
ROOT = Path(__file__).parents[2]
POLICY = f"""
sharing: {{samples: true, per_window: 1000}}
reporting: {{window: 1s, minimum_observations: 1, votes: 1000}}
packs: {{every: 1s, minimum_devices: 3}}
experiment: {{steps: [1.0], soak: 0s, minimum_labels: 20, minimum_devices: 1}}
train:
  entry: tests.hub.datasets.loop_trainers:train
  path: {ROOT}
  mode: stateless
  minimum_samples: 150
"""
DEVICES = 3


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
    frame["outcome"] = np.where((frame["age"] > 40) ^ (frame["plan"] == "gold"), "high", "low")
    frame.loc[random.random(rows) < 0.05, "age"] = np.nan
    frame.loc[random.random(rows) < 0.05, "city"] = None
    return frame


def run(hub: HubProcess, *words: str, status: int = 0) -> None:
    assert edge_hub([*words, "--data", str(hub.data)]) == status, words


def release(tmp_path: Path, flip: bool) -> Path:
    """A release of the command line, from a model file and rows in CSV."""
    import skops.io

    frame = table(600, 1)
    rows = frame[COLUMNS].copy()
    rows[TEXTS] = rows[TEXTS].astype(object).fillna("?")
    truth = frame["outcome"].map({"high": "low", "low": "high"} if flip else str)
    (tmp_path / "model.skops").write_bytes(skops.io.dumps(model().fit(rows, truth)))
    table(300, 2).assign(outcome=truth[:300]).to_csv(tmp_path / "check.csv", index=False)
    words = [
        str(tmp_path / "model.skops"), "--data", str(tmp_path / "check.csv"), "--label", "outcome",
        "--name", MODEL, "--out", str(tmp_path / "1.0"), "--variants", "float32",
    ]  # fmt: skip
    assert edge_convert(words) == 0
    return tmp_path / "1.0"


@pytest.fixture
def served(hub: HubProcess, tmp_path: Path) -> HubProcess:
    """A poor 1.0 serves; history came as CSV, the holdout as Parquet, the catalogue as CSV."""
    files = {"train": table(400, 3), "holdout": table(300, 4), "catalogue": table(40, 5)}
    files["catalogue"] = files["catalogue"].dropna().head(20)[COLUMNS]
    run(hub, "publish", str(release(tmp_path, flip=True)), "--override", "the first")
    run(hub, "promote", MODEL, "1.0")
    (tmp_path / "policy.yaml").write_text(POLICY)
    run(hub, "policy", "set", MODEL, str(tmp_path / "policy.yaml"))
    for name, frame in files.items():
        path = tmp_path / f"{name}.{'parquet' if name == 'holdout' else 'csv'}"
        frame.to_parquet(path) if name == "holdout" else frame.to_csv(path, index=False)
        labelled = ("--label", "outcome") if "outcome" in frame else ()
        run(hub, "data", "add", MODEL, name, str(path), *labelled)
    return hub


def plain(row: pd.Series) -> dict[str, Any]:
    return {name: None if pd.isna(value) else value for name, value in row[COLUMNS].items()}


def answer(device: EdgeDevice, frame: pd.DataFrame) -> None:
    for _, row in frame.iterrows():
        device.feedback(device.predict(plain(row)).id, label=row["outcome"])
    device._service.collect(final=True)
    assert device.sync().errors == {}


def newest_run(hub: HubProcess) -> dict[str, Any]:
    return dict(hub.admin.get(f"models/{MODEL}/runs")[-1])


def test_mixed_rows_go_from_a_table_to_a_retrained_release_and_a_pack(
    served: HubProcess, tmp_path: Path
) -> None:
    options = {"background": False, "share": True, "config": PATIENT, "hub": served.url}
    devices = [
        EdgeDevice(tmp_path / f"d{i}", token=served.token(MODEL), model=MODEL, **options)
        for i in range(DEVICES)
    ]
    try:
        for i, device in enumerate(devices):
            answer(device, table(100, 10 + i))
        run(served, "runs", "start", MODEL, "--reason", "the first retraining")
        wait_for(lambda: newest_run(served)["status"] not in ("waiting", "training"), "a training")
        trained = newest_run(served)
        assert trained["status"] == "experiment", trained["reason"]

        def promoted() -> bool:
            for i, device in enumerate(devices):
                answer(device, table(30, 100 + i))
            return newest_run(served)["status"] == "promoted"

        wait_for(promoted, "the promotion")
        for device in devices:
            device.sync()
            assert device.status()["version"] == "2.0"
        held = table(300, 4)
        right = [devices[0].predict(plain(r)).label == r["outcome"] for _, r in held.iterrows()]
        assert np.mean(right) > 0.85
        uses = served.admin.get(f"models/{MODEL}/versions/2.0/datasets")
        assert uses == {"trained": ["fresh@1", "train@1"], "judged": ["holdout@1"]}
        fresh = Dataset.read(served.admin.fetch(f"models/{MODEL}/datasets/fresh@1/rows"))
        assert set(fresh.X["city"].dropna()) == {"Bern", "Basel", "Köln, Süd", "NA"}
        assert set(fresh.X["zip"]) == {"01067", "80331", "00501"}
        assert fresh.X["age"].isna().any()
        assert fresh.X["city"].isna().any()

        run(served, "runs", "repeat", str(trained["id"]))
        ended = ("repeated", "differs", "failed")
        wait_for(lambda: newest_run(served)["status"] in ended, "the repetition")
        again = newest_run(served)
        assert (again["status"], again["repeats"]) == ("repeated", trained["id"]), again["reason"]

        catalogue = pd.read_csv(tmp_path / "catalogue.csv", dtype={"zip": str}, na_values=[""],
                                keep_default_na=False)  # fmt: skip
        release_2 = Release.open(devices[0]._state.path if False else newest_release(devices[0]))
        assert [c.dtype for c in release_2.manifest.signature.columns].count("string") == 3

        def packed() -> bool:
            for device in devices:
                for _, row in catalogue.iterrows():
                    device.predict(plain(row))
                device._service.collect(final=True)
                device.sync()
            return devices[0].predict(plain(catalogue.iloc[0])).source == "pack"

        wait_for(packed, "a pack of rows with texts")
    finally:
        for device in devices:
            device.close()
