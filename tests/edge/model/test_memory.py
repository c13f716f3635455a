"""Models that share memory: what was not used for longest goes, and comes back unharmed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.names import CPU
from edge_sdk.errors import InputError, ReleaseError, ReloadError
from edge_sdk.model import runtime
from edge_sdk.model.memory import ModelMemory
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model
from edge_sdk.telemetry.monitor import FOLD_AT
from tests.edge.builders import make_release, rows, softmax

NAMES = ("a", "b", "c")


def releases(folder: Path) -> dict[str, Release]:
    return {n: make_release(folder / n, n, "1.0", seed=i) for i, n in enumerate(NAMES)}


def opened(made: dict[str, Release], models: float, **config: object) -> EdgeDevice:
    """A device that has room for so many of the models; its telemetry thread never comes."""
    size = max(release.model_bytes for release in made.values())
    limits = DeviceConfig(memory_bytes=int(models * size), fold_seconds=1e6, **config)  # type: ignore[arg-type]
    return EdgeDevice.offline([release.folder for release in made.values()], config=limits)


def loaded(device: EdgeDevice) -> list[str]:
    models = {name: device.model(name)._service.current().model for name in device.models}
    return [name for name, model in models.items() if model.is_loaded]


def test_the_models_that_were_not_used_for_longest_are_unloaded(tmp_path: Path) -> None:
    x = rows(1)[0]
    with opened(releases(tmp_path), 2.5) as device:
        assert loaded(device) == ["b", "c"]  # the first one made room for the last
        device._fold()
        device.model("b").predict(x)
        device._fold()
        device.model("a").predict(x)
        assert loaded(device) == ["a", "b"]
        assert device.status()["memory"]["loaded"] == 2


@pytest.mark.parametrize("monitoring", [True, False], ids=["monitored", "not monitored"])
def test_use_counts_when_it_happens_and_not_as_it_is_folded(
    tmp_path: Path, monitoring: bool
) -> None:
    x = rows(1)[0]
    with opened(releases(tmp_path), 2.5, monitoring=monitoring) as device:
        device._fold()
        for _ in range(FOLD_AT + 1):  # so many are counted at once, after the note of their use
            device.model("c").predict(x)
        device._fold()
        device.model("b").predict(x)
        device._fold()
        device.model("a").predict(x)
        assert loaded(device) == ["a", "b"]


def test_a_batch_is_use_too(tmp_path: Path) -> None:
    with opened(releases(tmp_path), 2.5) as device:
        device._fold()
        device.model("b").predict_batch(rows(5))
        device._fold()
        device.model("a").predict(rows(1)[0])
        assert loaded(device) == ["a", "b"]


def test_without_a_limit_all_stay_and_with_a_tiny_one_the_model_that_is_asked(
    tmp_path: Path,
) -> None:
    made = releases(tmp_path)
    with opened(made, 0) as device:
        assert loaded(device) == [*NAMES]
    with opened(made, 0.1) as device:
        for name in NAMES:
            device.model(name).predict(rows(1)[0])
            assert loaded(device) == [name]


def test_an_unloaded_model_answers_as_before_on_every_way(tmp_path: Path) -> None:
    made, x = releases(tmp_path), rows(9)
    with opened(made, 0) as device:
        before = [device.model("a").predict(row).probabilities for row in x]
        device.model("a")._service.current().model.unload()
        again = [device.model("a").predict(row).probabilities for row in x]
        device.model("a")._service.current().model.unload()
        batch = device.model("a").predict_batch(x).probabilities
        device.model("a")._service.current().model.unload()
        by_name = {f"f{i}": float(v) for i, v in enumerate(x[0])}
        general = device.model("a").predict(by_name).probabilities
    np.testing.assert_array_equal(again, before)
    np.testing.assert_allclose(batch, before, rtol=1e-6)
    np.testing.assert_array_equal(general, before[0])


def test_threads_that_push_each_other_s_models_out_all_get_their_own_answers(
    tmp_path: Path,
) -> None:
    made, x, wrong = releases(tmp_path), rows(8), []

    def ask(device: EdgeDevice, name: str, seed: int) -> None:
        expected = softmax(x, seed)
        for _ in range(2):
            got = [device.model(name).predict(row).probabilities for row in x]
            if not np.allclose(got, expected, atol=1e-5):
                wrong.append(name)

    with opened(made, 1.0) as device:
        threads = [
            threading.Thread(target=ask, args=(device, name, seed))
            for seed, name in enumerate(NAMES)
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in NAMES:
            device.model(name).predict(x[0])
        assert len(loaded(device)) == 1
    assert wrong == []


def test_a_file_that_was_damaged_meanwhile_is_an_error_that_blames_the_disk(
    tmp_path: Path,
) -> None:
    made = releases(tmp_path)
    with opened(made, 0) as device:
        serving = device.model("a")._service.current()
        serving.model.unload()
        place = made["a"].model_path
        content = place.read_bytes()
        place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        for call in (device.model("a").predict, device.model("a").predict_batch):
            with pytest.raises(ReloadError, match="SHA-256"):
                call(rows(1) if call == device.model("a").predict_batch else rows(1)[0])
        assert serving.errors == 0
        assert "model.onnx" in device.status()["models"]["a"]["damaged"]["1.0"]
        assert device.model("b").predict(rows(1)[0]).version == "1.0"
        place.write_bytes(content)
        assert device.model("a").predict(rows(1)[0]).version == "1.0"


def test_a_provider_that_is_gone_as_a_model_comes_back_is_no_damage_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rows(2)
    with opened(releases(tmp_path), 0) as device:
        serving = device.model("a")._service.current()
        serving.model.unload()
        with monkeypatch.context() as patch:
            patch.setattr(runtime, "available_providers", lambda: ["QNNExecutionProvider"])
            for call, given in (
                (device.model("a").predict, x[0]), (device.model("a").predict_batch, x)
            ):  # fmt: skip
                with pytest.raises(ReleaseError, match=f"has no {CPU}") as caught:
                    call(given)
                assert not isinstance(caught.value, ReloadError)
        assert serving.errors == 2  # as of any model that fails: another pair may take over
        assert device.status()["models"]["a"]["damaged"] == {}
        assert device.model("a").predict(x[0]).version == "1.0"
        assert serving.model.nodes == {CPU: 2}


def test_memory_keeps_no_model_alive(tmp_path: Path) -> None:
    memory = ModelMemory(0)
    Model.load(make_release(tmp_path, "a", "1.0"), memory=memory)
    assert memory.status() == {"loaded": 0, "bytes": 0, "limit": 0}


def test_a_limit_that_is_none_is_refused() -> None:
    for wrong in (-1, 1.5, True):
        with pytest.raises(InputError, match="memory_bytes: expected"):
            DeviceConfig(memory_bytes=wrong)  # type: ignore[arg-type]


def test_a_release_that_does_not_load_at_first_is_no_reload(tmp_path: Path) -> None:
    release = make_release(tmp_path, "a", "1.0")
    release.model_path.write_bytes(b"")
    with pytest.raises(ReleaseError) as caught:
        Model.load(release)
    assert not isinstance(caught.value, ReloadError)
