"""One device of several models at a real hub: what is one, and what each model has for itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.errors import HubError, InputError, StateError
from edge_sdk.fleet.rollout import RolloutController
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows, softmax
from tests.servers import HubProcess, Proxy


def token(hub: HubProcess, *models: str, **terms: Any) -> str:
    return str(hub.admin.post("enrolment-tokens", model=list(models), **terms)["token"])


def opened(
    state: Path, hub: HubProcess | Proxy, made: str | None = None, **more: Any
) -> EdgeDevice:
    options = {"config": PATIENT, "background": False} | more
    return EdgeDevice(state, hub=hub.url, token=made, **options)


def versions(device: EdgeDevice) -> dict[str, str | None]:
    return {name: device.model(name).status()["version"] for name in device.models}


def records(hub: HubProcess, device: EdgeDevice) -> dict[str, Any]:
    """What the hub knows of the device, by model."""
    name = device.status()["device"]
    return {r["model"]: r for r in hub.admin.get("devices") if r["device"] == name}


def test_one_identity_and_one_sync_serve_all_models_that_a_token_is_for(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("eyes", seed=1)
    publish("ears", seed=2)
    with opened(tmp_path / "d", hub, token(hub, "eyes", "ears")) as device:
        assert sorted(device.models) == ["ears", "eyes"]
        x = rows(1)[0]
        for name, seed in (("eyes", 1), ("ears", 2)):
            expected = softmax(x[None], seed)[0]
            assert np.allclose(device.model(name).predict(x).probabilities, expected, atol=1e-6)
        assert device.sync().errors == {}
        assert {n: r["version"] for n, r in records(hub, device).items()} == {
            "ears": "1.0",
            "eyes": "1.0",
        }
        assert len({r["device"] for r in records(hub, device).values()}) == 1
        with pytest.raises(InputError, match=r"several models, ears, eyes: say device\.model"):
            device.predict(x)
        with pytest.raises(InputError, match="expected one of ears, eyes, got 'nose'"):
            device.model("nose")
    # All of it is on the disk: the next start asks for nothing and knows its models.
    with opened(tmp_path / "d", hub, model="ears") as device:
        assert np.allclose(device.predict(x).probabilities, softmax(x[None], 2)[0], atol=1e-6)
        assert device.status()["version"] == "1.0"


def test_a_release_that_is_broken_holds_up_no_other_model(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("sound")
    publish("sick")
    with opened(tmp_path / "d", hub, token(hub, "sound", "sick")) as device:
        publish("sick", "1.1", seed=3, defect="nan")
        publish("sound", "1.1", seed=4)
        result = device.sync()
        assert set(result.errors) == {"sick: update"}
        assert result.updates == {"sound": "activated"}
        assert versions(device) == {"sound": "1.1", "sick": "1.0"}
        assert device.sync().updates == {"sick": "known_bad"}
        assert device.model("sound").status()["failures"] == {}
        assert len(device.model("sick").status()["failures"]) == 1
        publish("sick", "1.2", seed=5)
        assert device.sync().updates == {"sick": "activated"}
    with opened(tmp_path / "d", hub) as device:
        assert versions(device) == {"sound": "1.1", "sick": "1.2"}


def test_a_download_that_is_cut_holds_up_no_other_model(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("cut")
    publish("well")
    made = token(hub, "cut", "well")
    with opened(tmp_path / "d", proxy, made) as device:
        publish("cut", "1.1", seed=6, padding=400_000)
        proxy.fault, proxy.only = "cut", "certificate.json"
        assert set(device.sync().errors) == {"cut: update"}
        proxy.fault = "none"
        publish("well", "1.1", seed=7)
        assert device.sync().updates == {"cut": "activated", "well": "activated"}


def test_a_plan_that_cannot_be_trusted_holds_up_no_other_model(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("honest")
    publish("forged")
    with opened(tmp_path / "d", hub, token(hub, "honest", "forged")) as device:
        assert device._link is not None
        floors = device._link.store.get("trust_floors")
        (raised,) = [dict(floor, value=10**6) for floor in floors["serial/forged"]]
        device._link.store.put("trust_floors", {**floors, "serial/forged": [raised]})
        publish("honest", "1.1", seed=8)
        result = device.sync()
        assert "older than plan 1000000" in result.errors["forged: plan"]
        assert result.updates == {"honest": "activated"}
        assert versions(device) == {"honest": "1.1", "forged": "1.0"}


def test_reports_of_all_models_go_in_one_outbox_and_labels_find_their_model(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    for seed, name in enumerate(("left", "right")):
        publish(name, seed=seed)
        hub.admin.put(f"models/{name}/policy", b"reporting: {window: 1s}\n")
    with opened(tmp_path / "d", hub, token(hub, "left", "right")) as device:
        asked = {name: [device.model(name).predict(r) for r in rows(20)] for name in device.models}
        for name, predictions in asked.items():
            for p in predictions[:10]:
                device.feedback(p.id, label=p.label)
            with pytest.raises(InputError, match="unknown|recent"):
                device.model("left" if name == "right" else "right").feedback(
                    predictions[11].id, label=0
                )
        late = {name: predictions[-1] for name, predictions in asked.items()}
    with opened(tmp_path / "d", hub) as device:
        for p in late.values():
            device.feedback(p.id, label=p.label)  # of an earlier start
        for name in device.models:
            device.model(name)._service.collect(final=True)
        assert device.sync().errors == {}
    for name in ("left", "right"):
        windows = hub.admin.get(f"models/{name}/telemetry")["windows"]
        assert sum(sum(w["predictions"].values()) for w in windows) == 20
        assert sum(w["labelled"] for w in windows) == 11


def test_a_device_joins_one_more_fleet_while_it_runs(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("first")
    publish("second", seed=9)
    with opened(tmp_path / "d", hub, hub.token("first"), model="first") as device:
        name, before = device.status()["device"], device.predict(rows(1)[0])
        with pytest.raises(HubError, match="is for first, not for second"):
            device.join("second", hub.token("first"))
        assert device.models == ("first",)
        device.join("second", hub.token("second"))
        assert device.model("second").predict(rows(1)[0]).version == "1.0"
        device.feedback(before.id, label=before.label)
        assert device.status()["device"] == name
        assert device.predict(rows(1)[0]).version == "1.0"  # of its own model, as before
        assert device.join("second") is device.model("second")
    with opened(tmp_path / "d", hub, model="first") as device:
        assert sorted(device.models) == ["first", "second"]
        assert sorted(records(hub, device)) == ["first", "second"]
    with pytest.raises(StateError, match="is enrolled for first, second, and not for third"):
        opened(tmp_path / "d", hub, model="third")


def test_a_model_whose_start_fails_is_joined_by_the_next_attempt(
    hub: HubProcess, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("steady")
    publish("stumbles", seed=9)
    start = RolloutController.start

    def fails(rollout: RolloutController) -> None:
        raise StateError("the disk cannot be read")

    with opened(tmp_path / "d", hub, hub.token("steady"), model="steady") as device:
        monkeypatch.setattr(RolloutController, "start", fails)
        with pytest.raises(StateError, match="cannot be read"):
            device.join("stumbles", hub.token("stumbles"))
        assert device.models == ("steady",)
        assert device.sync().errors == {}
        monkeypatch.setattr(RolloutController, "start", start)
        assert device.join("stumbles").predict(rows(1)[0]).version == "1.0"
        with pytest.raises(InputError, match=r"expected the name of a model, got \['x'\]"):
            device.join(["x"])  # type: ignore[arg-type]


def test_opening_with_another_model_and_its_token_joins_that_too(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("one")
    publish("two", seed=9)
    opened(tmp_path / "d", hub, hub.token("one"), model="one").close()
    with opened(tmp_path / "d", hub, hub.token("two"), model="two") as device:
        assert sorted(device.models) == ["one", "two"]
        assert device.status()["model"] == "two"


def test_one_token_of_two_models_counts_a_device_once(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("here")
    publish("there")
    made = token(hub, "here", "there", uses=1)
    opened(tmp_path / "d", hub, made, model="here").close()
    with opened(tmp_path / "d", hub, made, model="there") as device:
        assert sorted(device.models) == ["here", "there"]
    with pytest.raises(HubError, match="used up"):
        opened(tmp_path / "other", hub, made)


def test_what_waits_for_approval_or_has_other_attributes_is_not_joined_by_a_known_device(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("mine")
    made = token(hub, "mine", attribute=["region=eu"])
    with opened(tmp_path / "d", hub, made) as device:
        with pytest.raises(HubError, match="make a token without --approve"):
            device.join("theirs", token(hub, "theirs", approve=True))
        with pytest.raises(HubError, match="its attributes are fixed as"):
            device.join("theirs", token(hub, "theirs", attribute=["region=us"]))
        device.join("theirs", token(hub, "theirs", attribute=["region=eu"]))
        assert device.sync().errors == {}


def test_a_model_that_has_no_version_yet_keeps_none_waiting(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("ready")
    with opened(tmp_path / "d", hub, token(hub, "ready", "not-yet")) as device:
        assert versions(device) == {"not-yet": None, "ready": "1.0"}
        assert device.model("ready").predict(rows(1)[0]).version == "1.0"
        publish("not-yet")
        assert device.sync().updates == {"not-yet": "activated"}


def test_starts_again_and_again_leave_one_device(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    for name in ("x", "y", "z"):
        publish(name)
    with opened(tmp_path / "d", hub, token(hub, "x", "y", "z")) as device:
        name = device.status()["device"]
    limited = DeviceConfig(
        request_seconds=PATIENT.request_seconds,
        conversation_seconds=PATIENT.conversation_seconds,
        memory_bytes=1,
    )
    for _ in range(5):
        with opened(tmp_path / "d", hub, config=limited) as device:
            assert device.status()["device"] == name
            assert {device.model(m).predict(rows(1)[0]).version for m in device.models} == {"1.0"}
            assert device.status()["memory"]["loaded"] == 1
            json.dumps(device.status())
