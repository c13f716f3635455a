"""Models over the wire from a real hub: as differences where they can be, else whole."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.model_folder import model_folder
from tests.servers import HubProcess, Proxy
from tests.waiting import wait_for

BODY = np.random.default_rng(1).normal(size=60_000).astype(np.float32)
HEAD_BYTES = 4 * 2_000


class Line:
    """A model of 250 kB at the hub, of which each version has another head of 8 kB."""

    def __init__(self, hub: HubProcess, proxy: Proxy, publish: Publish, model: str) -> None:
        self.hub, self.proxy, self.model, self._publish = hub, proxy, model, publish
        proxy.forms = True

    def publish(self, version: str, seed: int, base: str | None = None, **more: Any) -> Release:
        """Let a version serve, and wait for its form of ``base``."""
        head = np.random.default_rng(seed).normal(size=HEAD_BYTES // 4).astype(np.float32)
        ballast = {"body": BODY, "head": head}
        release = self._publish(self.model, version, seed=seed, ballast=ballast, **more)
        wait_for(lambda: self.form(version, base), f"the form of {version}")
        return release

    def form(self, version: str, base: str | None) -> dict[str, Any] | None:
        wanted = ("model.onnx", version, base)
        forms = self.hub.admin.get(f"models/{self.model}/forms")
        return next((f for f in forms if (f["file"], f["version"], f["base"]) == wanted), None)

    def open(self, state: Path, **more: Any) -> EdgeDevice:
        options = {"config": PATIENT, "background": False, "model": self.model} | more
        token = self.hub.token(self.model)
        return EdgeDevice(state, hub=self.proxy.url, token=token, **options)

    def events(self) -> list[tuple[str, str]]:
        events = self.hub.admin.get(f"models/{self.model}/telemetry")["events"]
        return [(event["outcome"], event["version"]) for event in events]


@pytest.fixture
def line(hub: HubProcess, proxy: Proxy, publish: Publish, request: pytest.FixtureRequest) -> Line:
    line = Line(hub, proxy, publish, f"forms-{zlib.crc32(request.node.name.encode())}")
    line.publish("1.0", 1)
    return line


def downloaded(proxy: Proxy, part: str) -> int:
    return sum(size for path, size in proxy.served if part in path)


def model_of(state: Path, release: Release) -> bytes:
    return (model_folder(state) / "releases" / release.digest / "model.onnx").read_bytes()


def test_a_model_whose_head_was_trained_costs_the_head(line: Line, tmp_path: Path) -> None:
    with line.open(tmp_path / "d") as device:
        release = line.publish("1.1", 2, base="1.0")
        line.proxy.served.clear()
        assert device.sync().update == "activated"
        assert device.predict(rows(1)[0]).version == "1.1"
        assert model_of(tmp_path / "d", release) == release.model_path.read_bytes()
        assert downloaded(line.proxy, "/forms/") < 1.5 * HEAD_BYTES
        assert downloaded(line.proxy, "model.onnx") == 0
        assert list((model_folder(tmp_path / "d") / "patches").iterdir()) == []


def test_a_device_that_holds_nothing_downloads_the_whole_compressed(
    line: Line, tmp_path: Path
) -> None:
    with line.open(tmp_path / "d") as device:
        assert device.status()["version"] == "1.0"
        assert downloaded(line.proxy, "model.onnx") == 0
        assert downloaded(line.proxy, "/forms/") < 0.95 * BODY.nbytes


@pytest.mark.parametrize("harm", ["flip", "error"])
def test_a_form_that_does_not_arrive_as_it_is_gives_way_to_the_whole_file_and_that_is_told(
    line: Line, tmp_path: Path, harm: str
) -> None:
    with line.open(tmp_path / "d") as device:
        release = line.publish("1.1", 2, base="1.0")
        form = line.form("1.1", "1.0")
        assert form is not None
        line.proxy.fault, line.proxy.only = harm, f"/v1/forms/{release.digest}/"
        line.proxy.served.clear()
        assert device.sync().update == "activated"
        assert downloaded(line.proxy, "model.onnx") == form["whole"]
        device.sync()
    # Other files of the release may have had a form too.
    assert set(line.events()) == {
        ("activated", "1.0"), ("fell_back", "1.1"), ("activated", "1.1"),
    }  # fmt: skip


def test_a_base_that_was_damaged_on_the_disk_is_not_built_upon(line: Line, tmp_path: Path) -> None:
    with line.open(tmp_path / "d") as device:
        first = line.publish("1.1", 2, base="1.0")
        device.sync()
        release = line.publish("1.2", 3, base="1.1")
        place = model_folder(tmp_path / "d") / "releases" / first.digest / "model.onnx"
        raw = bytearray(place.read_bytes())
        raw[len(raw) // 2] ^= 1
        place.unlink()  # other releases may link the same file
        place.write_bytes(raw)
        assert device.sync().update == "activated"
        assert model_of(tmp_path / "d", release) == release.model_path.read_bytes()
        device.sync()
    assert ("fell_back", "1.2") in line.events()


def test_a_hub_without_forms_gives_whole_files(line: Line, tmp_path: Path) -> None:
    line.proxy.forms = False
    with line.open(tmp_path / "d"):
        assert downloaded(line.proxy, "model.onnx") > BODY.nbytes


def test_a_form_that_was_cut_is_gone_on_with_after_a_restart(line: Line, tmp_path: Path) -> None:
    state = tmp_path / "d"
    with line.open(state) as device:
        release = line.publish("1.1", 2, base="1.0")
        line.proxy.fault, line.proxy.only = "cut", f"/v1/forms/{release.digest}/"
        wait_for(lambda: "update" in device.sync().errors, "the form that is cut")
        parts = list((model_folder(state) / "patches").glob("*.part"))
        assert [part.stat().st_size > 0 for part in parts] == [True]
    line.proxy.fault = "none"
    line.proxy.served.clear()
    line.proxy.statuses.clear()
    with line.open(state) as device:
        assert device.sync().update == "activated"
        assert 206 in line.proxy.statuses
        assert model_of(state, release) == release.model_path.read_bytes()


def test_downloads_keep_to_the_rate_of_the_configuration(line: Line, tmp_path: Path) -> None:
    """Not by the clock: a second's worth of rests was asked for."""
    config = replace(PATIENT, bytes_per_second=500_000)
    with line.open(tmp_path / "d", config=config) as device:
        assert device._link is not None
        pace = device._link.client._transfers._pace
        assert pace.chunk == 50_000
        assert pace._free > 0
