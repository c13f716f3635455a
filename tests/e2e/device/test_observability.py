"""What a device of a real hub says while it runs: events, words, and both from another process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.cli.main import main
from edge_sdk.config import DeviceConfig
from edge_sdk.errors import EdgeError, StateError
from edge_sdk.fleet.local_events import LocalEvent
from edge_sdk.service.stopping import Stopped
from tests.conftest import Publish
from tests.e2e.live import ALONE
from tests.e2e.test_live import touched
from tests.edge.builders import rows
from tests.processes.ready import ReadyProcess
from tests.servers import HubProcess, Proxy
from tests.waiting import wait_for

Told = list[tuple[str, str, str | None, str | None]]


@contextlib.contextmanager
def two_models(
    state: Path, hub: HubProcess, url: str, config: DeviceConfig
) -> Iterator[EdgeDevice]:
    """A device of the models eyes and ears, which syncs when it is told to."""
    token = hub.admin.post("enrolment-tokens", model=["eyes", "ears"])["token"]
    with EdgeDevice(state, hub=url, token=token, config=config) as device:
        wait_for(lambda: device.status()["last_sync"], "the first sync of its thread")
        yield device


def test_events_say_of_which_model_each_update_was_and_when_the_hub_went_and_came(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("eyes")
    publish("ears")
    got: list[LocalEvent] = []

    def told(count: int) -> Told:
        wait_for(lambda: len(got) >= count, f"{count} events, of {got}")
        return [(e.kind, e.subject, e.model, e.version) for e in got[:count]]

    with two_models(tmp_path / "d", hub, proxy.url, ALONE) as device:
        before = {(e["kind"], e["model"], e["version"]) for e in device.status()["events"]}
        assert before == {("updated", "eyes", "1.0"), ("updated", "ears", "1.0")}
        cancel = device.on_event(got.append)

        publish("eyes", "1.1", seed=1, defect="touchy")
        device.sync()
        publish("ears", "1.1", seed=2, defect="nan")
        device.sync()
        assert told(2) == [
            ("updated", "release", "eyes", "1.1"),
            ("refused", "release", "ears", "1.1"),
        ]
        assert got[1].text.startswith("ears 1.1 refused at probe: ")
        refused = [word for word in device.status()["words"] if "was refused here" in word]
        assert [" of ears " in word for word in refused] == [True]

        eyes = device.model("eyes")
        for _ in range(ALONE.trial_errors):
            with pytest.raises(EdgeError, match="the model failed"):
                eyes.predict(touched())
        assert told(3)[2] == ("taken back", "release", "eyes", "1.1")
        wait_for(lambda: eyes.predict(rows(1)[0]).version == "1.0", "the way back to 1.0")

        proxy.fault = "away"
        for _ in range(2):
            assert device.sync().errors
        assert told(4)[3] == ("degraded", "hub", None, None)
        assert any(word.startswith("The hub is away (") for word in device.status()["words"])
        proxy.fault = "none"
        assert device.sync().errors == {}
        assert told(5)[4] == ("back", "hub", None, None)
        cancel()
        publish("eyes", "1.2", seed=3)
        assert device.sync().updates["eyes"] == "activated"
        assert device.status()["events"][-1]["version"] == "1.2"
    assert len(got) == 5


def test_another_process_sees_what_the_owner_does_but_is_not_called_back(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("eyes", "2.0")
    publish("ears", "2.0")
    state = tmp_path / "d"
    config = replace(ALONE, health_file=str(tmp_path / "health.json"), health_seconds=0.05)
    with two_models(state, hub, hub.url, config) as device:
        with EdgeDevice.attach(state) as attached:
            status = attached.status()
            assert [event["kind"] for event in status["events"]] == ["updated", "updated"]
            assert {"eyes 2.0 serves (variant float32).", "ears 2.0 serves (variant float32)."} <= {
                *status["words"]
            }
            with pytest.raises(StateError, match="events are told in the process that runs"):
                attached.on_event(print)
        command = [
            sys.executable,
            "-m",
            "edge_sdk.cli.main",
            "status",
            str(state),
            "--watch",
            "0.1",
        ]
        # Tests that run in the background of a shell ignore SIGINT, and so would what they start.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as watching:  # fmt: skip
            assert watching.stdout is not None
            lines: list[str] = []
            publish("eyes", "2.1", seed=4)
            device.sync()
            for line in watching.stdout:
                lines.append(line.rstrip())
                if "eyes 2.1 serves (variant float32)." in lines and lines.count(lines[0]) > 1:
                    break
            watching.send_signal(signal.SIGINT)
        assert watching.returncode == 130
        assert "ears 2.0 serves (variant float32)." in lines
        assert main(["health", str(tmp_path / "health.json")]) == 0
        assert "eyes 2.1 serves" in capsys.readouterr().out


def test_edge_run_writes_a_health_file_for_its_supervisor(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("service")
    state, file = tmp_path / "d", tmp_path / "health.json"
    opening = {"hub": hub.url, "token": hub.token("service"), "model": "service"}
    EdgeDevice(state, config=ALONE, background=False, **opening).close()
    words = ["-m", "edge_sdk.cli.main", "run", state, "--health-file", file]
    running = ReadyProcess("device", words, stdin=subprocess.DEVNULL)
    wait_for(lambda: file.exists() and main(["health", str(file)]) == 0, "a file that is well")
    running.terminate()
    assert running.wait() == 0
    assert main(["health", str(file)]) == 1  # it is closed


def test_a_device_that_is_told_to_stop_as_it_is_opened_is_closed(
    hub: HubProcess, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("ended")
    file, token = tmp_path / "health.json", hub.token("ended")
    config = replace(ALONE, health_file=str(file))

    def stopped(*_: Any) -> None:
        wait_for(file.exists, "the threads that were started to look after the device")
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("edge_sdk.processes.owner.own", stopped)
        with pytest.raises(Stopped):
            EdgeDevice(tmp_path / "d", hub=hub.url, token=token, model="ended", config=config)
    assert main(["health", str(file)]) == 1  # it is closed
    EdgeDevice(tmp_path / "d", hub=hub.url, background=False).close()  # and its folder is free


def test_the_status_of_a_device_that_serves_nobody_is_in_its_health_file(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("alone")
    state = tmp_path / "d"
    config = replace(ALONE, health_file=str(state / "health.json"))
    opening = {"hub": hub.url, "token": hub.token("alone"), "model": "alone", "config": config}
    with EdgeDevice(state, background=False, **opening) as device:
        device.sync()
        assert main(["status", str(state)]) == 0
        words = capsys.readouterr().out.splitlines()
        assert words[0].startswith("As process ")
        assert words[1] == "alone 1.0 serves (variant float32)."
    assert main(["status", str(state)]) == 0  # nobody runs it: opened here, and not read
    assert capsys.readouterr().out.splitlines()[0] == "alone 1.0 serves (variant float32)."
