"""Rankings that adapt, from the policy to devices and back to the values that the hub shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cloud_hub.cli.main import main as edge_hub
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.errors import InputError
from tests.e2e.live import PATIENT
from tests.servers import HubProcess

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4)).astype(np.float32)
POLICY = """
reporting: {window: 1h, minimum_observations: 1}
personalise: {mode: on, minimum_units: 3, explore: 0.5}
"""


def published(hub: HubProcess, folder: Path, model: str, policy: str = POLICY) -> None:
    liked = (X @ [1, 0.5, 0, 0] + RANDOM.normal(size=300) > 0).astype(int)
    made = convert(
        LogisticRegression().fit(X, liked), X, liked, name=model, out=folder / "release",
        variants=("float32",),
    )  # fmt: skip
    hub.admin.publish(made.folder, hub.key, override="test")
    hub.admin.put(f"models/{model}/policy", policy.encode())
    hub.admin.post(f"models/{model}/promote", version="1.0")


def opened(hub: HubProcess, model: str, state: Path) -> EdgeDevice:
    return EdgeDevice(
        state, hub=hub.url, token=hub.token(model), model=model, config=PATIENT, background=False
    )


def shop(device: EdgeDevice, units: int, rounds: int = 8) -> None:
    """Units that like the third column look at lists of ten, and click."""
    for unit in range(units):
        for round_ in range(rounds):
            rows = X[10 * round_ : 10 * round_ + 10]
            ranking = device.predict_ranking(
                rows, candidates=range(10), length=5, unit=f"visitor {unit}"
            )
            liked = [i for i in ranking.items if rows[i, 2] > 0]
            device.feedback(ranking.id, clicks=liked, reward=len(liked) / 5)


def test_lists_adapt_by_the_policy_and_the_hub_shows_what_that_is_worth(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "adapted"
    published(hub, tmp_path, model)
    rankings = ("personalise", "rankings", model, "--data", str(hub.data))
    assert edge_hub([*rankings]) != 0
    assert "no device has reported rankings that adapt" in capsys.readouterr().err
    for i in range(4):
        with opened(hub, model, tmp_path / f"d{i}") as device:
            device.sync()
            shop(device, 6)
            own = device.predict_ranking(X[:10], candidates=range(10))
            mine = device.predict_ranking(X[:10], candidates=range(10), unit="visitor 0")
            assert mine.personalised
            assert not own.personalised
            assert mine.propensities is not None
            assert 0 < min(mine.propensities) <= 1
            device._service.collect(final=True)
            device.sync()
    found = hub.admin.get(f"models/{model}/personalise/rankings")
    assert (found["devices"], found["lists"], found["version"]) == (4, 4 * 6 * 8, "1.0")
    logged = found["policies"]["logged"]["values"]["robust"]
    assert logged["low"] < logged["value"] < logged["high"]
    assert found["policies"]["own"]["effective"] > 10
    assert edge_hub([*rankings, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lists"] == found["lists"]
    assert edge_hub([*rankings, "--days", "7"]) == 0
    shown = capsys.readouterr().out
    assert "192 lists with an outcome of 1" in shown
    # The table may break its headings: how wide its columns are depends on the figures.
    assert {"doubly", "robust"} <= set(shown.split())
    assert hub.admin.get(f"models/{model}/personalise/rankings", version="1.0")["lists"] == 192


def test_a_device_of_one_visitor_tells_the_hub_nothing(hub: HubProcess, tmp_path: Path) -> None:
    model = "alone"
    published(hub, tmp_path, model)
    with opened(hub, model, tmp_path / "d") as device:
        device.sync()
        shop(device, 1)
        device._service.collect(final=True)
        assert device._link is not None
        upload = device._link.outbox.batch()
        assert upload is not None
        kinds = [type(message.open()) for message in upload.messages]
        assert kinds
        assert RankingReport not in kinds
        assert "visitor" not in upload.to_json().decode()


def test_what_was_learned_outlives_a_restart_and_ends_with_the_policy(
    hub: HubProcess, tmp_path: Path
) -> None:
    model = "kept"
    published(hub, tmp_path, model)
    with opened(hub, model, tmp_path / "d") as device:
        device.sync()
        shop(device, 1)
    with opened(hub, model, tmp_path / "d") as device:
        again = device.predict_ranking(X[:10], candidates=range(10), unit="visitor 0")
        assert again.personalised
        assert device.forget("visitor 0")
        assert not device.predict_ranking(
            X[:10], candidates=range(10), unit="visitor 0"
        ).personalised
        shop(device, 1)
        hub.admin.put(f"models/{model}/policy", POLICY.replace("mode: on", "mode: off").encode())
        device.sync()
        found = device.predict_ranking(X[:10], candidates=range(10), unit="visitor 0")
        assert not found.personalised
        assert found.propensities is None


def test_an_attached_process_gets_lists_that_adapt_and_refusals_in_words(
    hub: HubProcess, tmp_path: Path
) -> None:
    model = "attached"
    published(hub, tmp_path, model)
    token = hub.token(model)
    with EdgeDevice(tmp_path / "d", hub=hub.url, token=token, model=model, config=PATIENT) as owner:
        owner.sync()
        with EdgeDevice.attach(tmp_path / "d") as device:
            features = np.eye(10)
            for _ in range(6):
                ranking = device.predict_ranking(
                    X[:10], candidates=list(range(10)), unit="u", features=features
                )
                device.feedback(ranking.id, clicks=[9])
            found = device.predict_ranking(
                X[:10], candidates=list(range(10)), unit="u", features=features
            )
            assert found.personalised
            assert isinstance(found.propensities, tuple)
            with pytest.raises(InputError, match="features: expected"):
                device.predict_ranking(
                    X[:10], candidates=list(range(10)), unit="u", features=[[1.0]]
                )
