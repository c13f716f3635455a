"""Thrift: what a device does less of on a battery or a metered network, and joules of a sync."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_sdk.cli.main import main
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.experiment_reports import ShadowReport
from edge_sdk.device import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.fleet.thrift import LOOK_SECONDS, Thrift
from edge_sdk.system.power import on_battery
from edge_sdk.telemetry.energy import EnergyUse
from tests.clock import Clock
from tests.edge.builders import make_release, rows


def supply(root: Path, name: str, **files: str) -> None:
    (root / name).mkdir(parents=True)
    for file, text in files.items():
        (root / name / file).write_text(f"{text}\n")


SUPPLIES: dict[str, tuple[dict[str, dict[str, str]], bool]] = {
    "nothing says": ({}, False),
    "mains": ({"AC": {"type": "Mains", "online": "1"}}, False),
    "a laptop on its battery": (
        {"AC": {"type": "Mains", "online": "0"},
         "BAT0": {"type": "Battery", "status": "Discharging"}}, True,
    ),
    "a laptop that is fed": (
        {"AC": {"type": "USB", "online": "1"},
         "BAT0": {"type": "Battery", "status": "Charging"}}, False,
    ),
    "a mouse": (
        {"hid": {"type": "Battery", "status": "Discharging", "scope": "Device"}}, False,
    ),
    "a board with a battery alone": ({"b": {"type": "Battery", "status": "Discharging"}}, True),
    "files that are not there": ({"b": {}}, False),
}  # fmt: skip


@pytest.mark.parametrize("case", SUPPLIES)
def test_the_system_says_whether_a_battery_feeds_the_machine(tmp_path: Path, case: str) -> None:
    supplies, expected = SUPPLIES[case]
    for name, files in supplies.items():
        supply(tmp_path, name, **files)
    assert on_battery(tmp_path) is expected
    assert on_battery(tmp_path / "none") is False


def test_syncs_and_folds_are_rare_for_as_long_as_it_lasts() -> None:
    clock, power = Clock(0.0), {"battery": False, "metered": False}
    thrift = Thrift(DeviceConfig(), clock)
    thrift.ask(lambda: power["battery"], lambda: power["metered"])

    def looked(**now: bool) -> tuple[tuple[str, ...], float, float]:
        power.update(now)
        clock.now += LOOK_SECONDS
        thrift.look()
        return thrift.reasons, thrift.fold_seconds(), thrift.sync_seconds(60.0)

    assert looked() == ((), 0.1, 60.0)
    reasons, fold, sync = looked(metered=True)
    assert (reasons, fold, 720 <= sync <= 1_080) == (("a metered network",), 0.1, True)
    reasons, fold, sync = looked(metered=False, battery=True)
    assert (reasons, fold, 720 <= sync <= 1_080) == (("battery",), 1.0, True)
    assert thrift.sync_seconds(5_000.0) == 5_000.0
    assert looked(battery=False) == ((), 0.1, 60.0)


def test_a_function_of_the_application_that_fails_says_no() -> None:
    thrift = Thrift(DeviceConfig(), Clock(0.0))
    thrift.ask(lambda: 1 / 0 > 1, None)
    thrift.look()
    assert thrift.reasons == ()
    with pytest.raises(InputError, match="battery: expected a function, got 3"):
        thrift.ask(3, None)  # type: ignore[arg-type]


def test_a_shadow_waits_for_power_and_what_it_left_out_is_counted(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    second = make_release(tmp_path, version="1.1", seed=1).folder
    with EdgeDevice.offline(folder, shadow=second, background=False) as device:
        device._watch.thrift.ask(lambda: True, None)
        device._fold()
        for row in rows(50):
            device.predict(row)
        (report,) = [b for b in device.reports() if isinstance(b, ShadowReport)]
        words = device.status()["words"]
    assert (report.compared, report.skipped) == (0, {"battery": 50})
    assert "On battery: syncs are rare, and a shadow waits for power." not in words  # no hub


def test_on_a_battery_the_shadow_of_a_device_waits_and_its_models_answer_on(
    tmp_path: Path,
) -> None:
    folders = [make_release(tmp_path, model=name).folder for name in ("eyes", "ears")]
    with EdgeDevice.offline(folders, background=False) as device:
        device._watch.thrift.ask(lambda: True, lambda: True)
        assert device._fold() == DeviceConfig().thrifty_fold_seconds
        status = device.status()
        assert status["thrift"] == ["battery", "a metered network"]
        for name in device.models:
            assert device.model(name).predict([1, 2, 3, 4]).version == "1.0"


def meter(joules: list[float]) -> Any:
    readings = iter(joules)
    return lambda: next(readings)


def test_joules_of_syncs_are_averaged_and_a_meter_that_fails_costs_its_sync() -> None:
    clock = Clock(0.0)
    use = EnergyUse(meter([10.0, 14.0, 20.0, 22.0, 30.0, float("nan"), 1.0, 2.0]), "test", clock)
    for _ in range(3):
        with use.syncing():
            clock.now += 2.0
    status = use.status()
    assert (status["joules_a_sync"], status["seconds_a_sync"]) == (3.0, 2.0)
    use.give_up("several models answer")
    with use.syncing():  # a sync is the device's, whichever model it is for
        pass
    status = use.status()
    assert (status["why"], "joules_a_sync" in status) == ("several models answer", True)
    without = EnergyUse(None, "none")
    with without.syncing():
        pass
    assert "joules_a_sync" not in without.status()


def test_edge_bench_energy_says_why_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_sdk.telemetry.meters import find_meter

    folder = make_release(tmp_path).folder
    code = main(["bench", str(folder), "--quick", "--energy"])
    said = capsys.readouterr().out
    if find_meter() is None:
        assert (code, "energy: not measured, no meter" in said) == (1, True)
    else:
        assert (code, "energy of 1,000 predictions" in said) == (0, True)
    assert "single" not in said
