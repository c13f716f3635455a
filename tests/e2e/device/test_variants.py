"""A release of several model files at a real hub: a device downloads those that it may take."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import DOCUMENTS, MANIFEST
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release
from edge_sdk.update.slots import USED
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows, variant_of
from tests.model_folder import model_folder
from tests.servers import HubProcess, Proxy

HALF = variant_of("half")
GRAPHICS = variant_of("graphics", "CUDAExecutionProvider")
PAPERS = dict.fromkeys(DOCUMENTS, b"for people")


def opened(hub: HubProcess, state: Path, model: str, url: str | None = None) -> EdgeDevice:
    return EdgeDevice(
        state, hub=url or hub.url, token=hub.token(model), model=model, config=PATIENT,
        background=False,
    )  # fmt: skip


def held(state: Path, release: Release) -> set[str]:
    return {path.name for path in (model_folder(state) / "releases" / release.digest).iterdir()}


def test_a_device_downloads_the_variants_for_its_provider_and_no_documents(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"alternatives": (HALF, GRAPHICS), "documents": PAPERS}
    release = publish("several", **options)
    with opened(hub, tmp_path / "d", "several", proxy.url) as device:
        assert device.predict(rows(1)[0]).version == "1.0"
        assert device.status()["variant"] == "float32"
    kept = {*release.files} - {*GRAPHICS.files, *DOCUMENTS}
    assert held(tmp_path / "d", release) == {MANIFEST, *kept}
    asked = {path.rpartition(".")[0].rpartition("/")[2] for path, _ in proxy.served}
    assert not any(name in path for path in asked for name in ("graphics", "model-card", "bom"))
    # The hub has all of them, for whoever may take them.
    for name, ref in release.manifest.files.items():
        (file,) = hub.data.glob(f"**/models/several/1.0/{ref.sha256}.{name}")
        assert file.stat().st_size == ref.length


def test_a_device_serves_the_first_variant_that_it_may_take(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    release = publish("second", alternatives=(HALF,), first="CUDAExecutionProvider")
    with opened(hub, tmp_path / "d", "second") as device:
        assert device.status()["variant"] == "half"
        assert device.predict(rows(1)[0]).version == "1.0"
    assert "model.onnx" not in held(tmp_path / "d", release)
    with opened(hub, tmp_path / "d", "second") as device:  # and so after a restart
        assert (device.status()["variant"], device.sync().update) == ("half", "unchanged")


def test_a_release_without_a_variant_for_the_device_costs_its_manifest_and_serves_never(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("foreign")
    with opened(hub, tmp_path / "d", "foreign", proxy.url) as device:
        publish("foreign", "1.1", seed=2, first="CUDAExecutionProvider")
        proxy.served.clear()
        reason = device.sync().errors["update"]
        assert "expected a variant for CPUExecutionProvider, found float32 (CUDA" in reason
        assert device.predict(rows(1)[0]).version == "1.0"
        assert not any("model.onnx" in path or "golden" in path for path, _ in proxy.served)
        device.sync()
    events = hub.admin.get("models/foreign/telemetry")["events"]
    assert [e["version"] for e in events if e["outcome"] == "failed"] == ["1.1"]


def test_a_damaged_variant_that_does_not_serve_is_brought_again_too(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    release = publish("spare", alternatives=(HALF, GRAPHICS))
    with opened(hub, tmp_path / "d", "spare") as device:
        place = model_folder(tmp_path / "d") / "releases" / release.digest / HALF.model
        place.write_bytes(b"x" * place.stat().st_size)
        assert device._service.serving is not None
        while device._service.serving.scrub.step():
            pass
        assert HALF.model in device.status()["damaged"]["1.0"]
        assert device.sync().update == "repaired"
        assert place.read_bytes() == (release.folder / HALF.model).read_bytes()


def events_of(hub: HubProcess, model: str) -> list[tuple[str, str, str | None]]:
    events = hub.admin.get(f"models/{model}/telemetry")["events"]
    return [(e["outcome"], e["version"], e.get("reason")) for e in events]


@pytest.mark.parametrize("defect", ["nan", "crash"])
def test_where_the_first_variant_does_not_work_the_next_serves_and_the_hub_is_told(
    hub: HubProcess, publish: Publish, tmp_path: Path, defect: str
) -> None:
    model = f"next-{defect}"
    release = publish(model, alternatives=(HALF,), defect=defect)
    for update in ("activated", "unchanged"):  # and so after a restart
        with opened(hub, tmp_path / "d", model) as device:
            if update == "unchanged":
                assert device.sync().update == update
            assert device.status()["variant"] == "half"
            assert device.predict(rows(1)[0]).version == "1.0"
            device.sync()
    assert held(tmp_path / "d", release) - {*release.files} == {MANIFEST, USED}
    told = {outcome: reason for outcome, _, reason in events_of(hub, model)}
    assert {*told} == {"fell_back", "activated"}
    assert (told["fell_back"] or "").startswith("variant half is used; float32: ")
    # Without one that fails, the first serves again.
    publish(model, "1.1", alternatives=(HALF,))
    with opened(hub, tmp_path / "d", model) as device:
        assert device.sync().update == "activated"
        assert device.status()["variant"] == "float32"


def test_between_releases_with_one_and_with_several_variants_a_device_goes_on_and_back(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("mixed")
    with opened(hub, tmp_path / "d", "mixed") as device:
        second = publish("mixed", "1.1", seed=2, alternatives=(HALF,), defect="nan")
        assert device.sync().update == "activated"
        publish("mixed", "1.2", seed=4)
        assert device.sync().update == "activated"
        assert device.status()["variant"] == "float32"
        hub.admin.post("models/mixed/rollback", reason="enough")
        assert device.sync().update == "activated"
        assert (device.status()["version"], device.status()["variant"]) == ("1.1", "half")
        # What serves is damaged: it is brought again, and is what serves.
        place = model_folder(tmp_path / "d") / "releases" / second.digest / HALF.model
        place.write_bytes(b"x" * place.stat().st_size)
        assert device._service.serving is not None
        while device._service.serving.scrub.step():
            pass
        assert device.sync().update == "repaired"
        assert device.status()["variant"] == "half"
    place.write_bytes(b"")
    with opened(hub, tmp_path / "d", "mixed") as device:  # and so if it is found at the start
        while device.status()["version"] != "1.1":
            device.sync()
        assert device.status()["variant"] == "half"
        assert device.predict(rows(1)[0]).version == "1.1"


def test_a_release_of_which_no_variant_works_is_refused_with_the_reason_of_each(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("none")
    with opened(hub, tmp_path / "d", "none") as device:
        publish("none", "1.1", alternatives=(HALF,), defect="nan", spare_defect="crash")
        reason = device.sync().errors["update"]
        assert "no variant works here; float32: golden vectors: " in reason
        assert "; half: " in reason
        assert device.predict(rows(1)[0]).version == "1.0"
        device.sync()
        assert ("failed", "1.1") in [event[:2] for event in events_of(hub, "none")]
        publish("none", "1.2", seed=2)  # rolled forward, to a release with one variant
        assert device.sync().update == "activated"


@pytest.mark.parametrize("content", [b"nobody", b"", b"\xff\xfe", b"graphics"])
def test_a_damaged_note_of_the_variant_in_use_costs_the_note(
    hub: HubProcess, publish: Publish, tmp_path: Path, content: bytes
) -> None:
    model = f"note-{len(content)}"
    release = publish(model, alternatives=(HALF, GRAPHICS))
    opened(hub, tmp_path / "d", model).close()
    (model_folder(tmp_path / "d") / "releases" / release.digest / USED).write_bytes(content)
    with opened(hub, tmp_path / "d", model) as device:
        assert device.status()["variant"] == "float32"
        assert device.predict(rows(1)[0]).version == "1.0"


def test_an_app_without_a_hub_opens_a_folder_with_the_files_that_a_device_keeps(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path, alternatives=(HALF, GRAPHICS), documents=PAPERS)
    folder = tmp_path / "kept"
    folder.mkdir()
    for name in (MANIFEST, *release.manifest.files_for(("CPUExecutionProvider",))):
        shutil.copyfile(release.folder / name, folder / name)
    with EdgeDevice.offline(folder) as device:
        assert device.predict(rows(1)[0]).version == "1.0"
    with pytest.raises(ReleaseError, match="No such file"):
        Release.open(folder)
