"""Forms at a hub: made in the background, offered, told of, removed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from cloud_hub.fleet.tables import devices
from cloud_hub.forms.service import FormRecord, counterpart
from cloud_hub.hub import Hub
from edge_sdk.contract.manifest import Manifest
from edge_sdk.contract.patch import Form
from edge_sdk.model.release import Release
from tests.edge.builders import make_release, variant_of
from tests.waiting import wait_for


def publish(hub: Hub, folder: Path, version: str, seed: int, *, promote: bool = True) -> Release:
    ballast = {"big": np.random.default_rng(1).normal(size=5_000).astype(np.float32)}
    ballast["head"] = np.random.default_rng(seed).normal(size=500).astype(np.float32)
    release = make_release(folder, "demo", version, seed=seed, ballast=ballast)
    hub.registry.publish(release, actor="test")
    if promote:
        hub.plans.promote("demo", version, actor="test", reason="test")
    return release


def form_of(hub: Hub, release: Release, base: Release | None) -> Form | None:
    file = release.manifest.files["model.onnx"].sha256
    sha = base.manifest.files["model.onnx"].sha256 if base else None
    forms = hub.forms.store.index(release.digest).forms.get(file, ())
    return next((form for form in forms if form.base == sha), None)


def device(hub: Hub, name: str, version: str) -> None:
    row = {
        "device": name, "model": "demo", "enrolled_at": 0.0, "seen_at": 0.0,
        "attributes": {}, "failed": [], "software": {}, "version": version,
    }  # fmt: skip
    with hub.engine.begin() as db:
        db.execute(insert(devices).values(**row))


def test_a_release_is_offered_whole_and_from_what_serves_before_a_plan_names_it(
    inner: Hub, tmp_path: Path
) -> None:
    first = publish(inner, tmp_path, "1.0", 1)
    second = publish(inner, tmp_path, "1.1", 2, promote=False)
    inner.forms.make()
    whole, delta = form_of(inner, second, None), form_of(inner, second, first)
    assert whole is not None
    assert delta is not None
    size = second.manifest.files["model.onnx"].length
    assert delta.file.length < whole.file.length / 3 < size / 3
    raw = inner.forms.store.artifacts
    assert raw.size(f"{second.digest}/{delta.file.sha256}") == delta.file.length
    records = inner.forms.records("demo")
    assert FormRecord("1.1", "model.onnx", "1.0", delta.file.length, size) in records
    assert FormRecord("1.1", "model.onnx", None, whole.file.length, size) in records


def test_what_devices_hold_is_a_base_and_what_no_plan_names_is_removed(
    inner: Hub, tmp_path: Path
) -> None:
    first, second, third = (
        publish(inner, tmp_path, f"1.{i}", i + 1) for i in range(3)
    )  # fmt: skip
    inner.forms.make()
    assert form_of(inner, third, first) is None
    device(inner, "late", "1.0")
    inner.forms.make()
    assert form_of(inner, third, first) is not None
    publish(inner, tmp_path, "1.3", 9)
    inner.forms.make()
    assert list(inner.forms.store.artifacts.list(third.digest)) == []
    assert list(inner.forms.store.artifacts.list(second.digest)) == []


def test_another_look_makes_nothing_twice(
    inner: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(inner, tmp_path, "1.0", 1)
    publish(inner, tmp_path, "1.1", 2)
    inner.forms.make()
    monkeypatch.setattr("cloud_hub.forms.service.make_patch", lambda *_: pytest.fail("again"))
    inner.forms.make()
    inner.forms._tried.clear()  # as after a restart
    monkeypatch.setattr("cloud_hub.forms.service.SMALLEST", 5_000)  # only what was worth it
    inner.forms.make()


def test_forms_that_are_lost_are_made_again(inner: Hub, tmp_path: Path) -> None:
    first = publish(inner, tmp_path, "1.0", 1)
    inner.forms.make()
    for name in list(inner.forms.store.artifacts.list()):
        inner.forms.store.artifacts.delete(name)
    inner.forms._tried.clear()
    inner.forms.make()
    assert form_of(inner, first, None) is not None


def test_a_tick_makes_them_on_a_thread_of_their_own(inner: Hub, tmp_path: Path) -> None:
    first = publish(inner, tmp_path, "1.0", 1)
    inner.loop.tick(time.time())
    wait_for(lambda: form_of(inner, first, None), "the form")
    assert inner.loop.errors == {}


def test_an_error_of_the_making_is_logged_and_the_hub_goes_on(
    inner: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(inner, tmp_path, "1.0", 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cloud_hub.forms.service.make_patch", full)
    inner.forms.tick(1.0)
    wait_for(lambda: "forms could not be made" in caplog.text, "the log")
    inner.forms.stop()


def test_a_version_that_serves_again_after_it_was_gone_has_its_forms_again(
    inner: Hub, tmp_path: Path
) -> None:
    first, _ = publish(inner, tmp_path, "1.0", 1), publish(inner, tmp_path, "1.1", 2)
    inner.forms.make()
    publish(inner, tmp_path, "1.2", 3)
    inner.forms.make()
    assert form_of(inner, first, None) is None
    inner.plans.promote("demo", "1.0", actor="test", reason="back", override="test")
    inner.forms.make()
    assert form_of(inner, first, None) is not None


def test_a_files_counterpart_is_that_of_the_same_variant_whichever_was_chosen(
    tmp_path: Path,
) -> None:
    def swapped(manifest: Manifest) -> Manifest:
        first, other = manifest.variants
        names = dict(zip(("model", "golden", "certificate"), first.files, strict=True))
        others = dict(zip(("model", "golden", "certificate"), other.files, strict=True))
        return replace(manifest, variants=(replace(other, **names), replace(first, **others)))

    half = variant_of("half")
    old = make_release(tmp_path, "demo", "1.0", alternatives=(half,)).manifest
    new = swapped(old)
    assert counterpart("model.onnx", new, old) == half.model
    assert counterpart(half.golden, new, old) == "golden.npz"
    assert counterpart("model.onnx", old, old) == "model.onnx"
    assert counterpart("profile.json", new, old) == "profile.json"
