"""Providers in the configuration: what may be said, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.names import CPU
from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.system.drivers import driver_facts
from edge_sdk.system.operating_system import peak_memory_mb, reset_peak_memory
from tests.edge.builders import make_release, rows

CUDA = "CUDAExecutionProvider"

WRONG: dict[str, Any] = {
    "no provider": (),
    "a text": CUDA,
    "a short name": ("cuda",),
    "a number": (3,),
    "one twice": (CPU, CPU),
    "one twice, with options": (CPU, (CPU, {"a": 1})),
    "options that are no dict": ((CPU, [1]),),
    "an option that is a list": ((CPU, {"a": [1]}),),
    "nothing that can be counted up": 3,
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_providers_are_refused_in_words(tmp_path: Path, case: str) -> None:
    with pytest.raises(InputError, match="providers: expected .*, got"):
        DeviceConfig().with_providers(WRONG[case])
    with pytest.raises(InputError, match="providers: expected"):
        EdgeDevice.offline(make_release(tmp_path).folder, providers=WRONG[case])


def test_providers_and_their_options_reach_the_session() -> None:
    config = DeviceConfig().with_providers([(CUDA, {"device_id": 1, "x": True}), CPU])
    options = RuntimeOptions.of(config)
    assert options.providers == (CUDA, CPU)
    assert options.provider_options == {CUDA: {"device_id": "1", "x": "True"}}
    assert options.beginning_with(CPU).providers == (CPU,)
    assert options.permitted({CPU}).providers == (CPU,)
    assert options.permitted(()) is options


def test_a_device_says_where_each_node_runs(tmp_path: Path) -> None:
    with EdgeDevice.offline(make_release(tmp_path).folder, providers=[CUDA, CPU]) as device:
        status = device.status()
        assert (status["variant"], status["provider"]) == ("float32", CPU)
        assert status["nodes"] == {CPU: 2}
        assert device.predict(rows(1)[0]).source == "model"
        (report,) = device.reports()
        assert (report.variant, report.provider) == ("float32", CPU)  # type: ignore[union-attr]


def test_a_device_with_no_provider_that_is_installed_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=f"has no {CUDA}; it has .*{CPU}"):
        EdgeDevice.offline(make_release(tmp_path).folder, providers=[CUDA])


def test_drivers_are_read_where_the_system_tells_of_them(tmp_path: Path) -> None:
    for name, content in (("nvidia/version", "570.1\n"), ("i915/other", "")):
        place = tmp_path / "sys/module" / name
        place.parent.mkdir(parents=True)
        place.write_text(content)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor: 0\nmodel name\t: A core\n")
    facts = driver_facts(tmp_path)
    assert (facts["driver nvidia"], facts["driver i915"]) == ("570.1", "of the kernel")
    assert facts["cpu"] == "A core"
    assert "kernel" in driver_facts(tmp_path / "nothing")


def test_the_peak_of_memory_begins_anew() -> None:
    held = bytes(64 << 20)
    before = peak_memory_mb()
    assert before > 64
    del held
    reset_peak_memory()
    assert 0 < peak_memory_mb() <= before
