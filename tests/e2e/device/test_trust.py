"""What a device refuses to believe, with the real repository and a real hub process."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile, Targets

from cloud_hub.registry import signing
from cloud_hub.registry.repository import Repository
from edge_sdk import EdgeDevice
from edge_sdk.contract.plan import Plan, ReleaseRef
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess, running_hub
from tests.waiting import PATIENCE

MODEL = "trusted"


@pytest.fixture
def own_hub(tmp_path: Path) -> object:
    """A hub of one's own, whose loop does not mend what tests break."""
    with running_hub(tmp_path, tick=0) as hub:
        release = make_release(tmp_path / "made", MODEL)
        hub.admin.publish(release.folder, hub.key)
        hub.admin.post(f"models/{MODEL}/promote", version="1.0")
        yield hub


def open_device(hub: HubProcess, state: Path) -> EdgeDevice:
    token = hub.token(MODEL)
    return EdgeDevice(
        state, hub=hub.url, token=token, model=MODEL, config=PATIENT, background=False
    )


def repository(hub: HubProcess) -> Repository:
    return Repository(hub.data / "repository", hub.data / "keys")


def unsigned_release(hub: HubProcess, made: Path) -> None:
    """Whoever has the online key points the plan at a release that no publisher signed."""
    release = make_release(made, MODEL, "9.9", seed=66)
    repository(hub).publish_plan(Plan(MODEL, 50, ReleaseRef("9.9", release.digest)))


def plan_by_stranger(hub: HubProcess, made: Path) -> None:
    """Somebody without the online key writes plans metadata."""
    repo = repository(hub)
    plans = repo.files.newest("plans")
    plans.signed.version += 1
    plans.signatures.clear()
    plans.sign(CryptoSigner.generate_ed25519())
    repo.files.write(f"{plans.signed.version}.plans.json", plans.to_bytes())
    repo._seal()


def repository_manifest(hub: HubProcess) -> str:
    targets = repository(hub).releases().signed.targets
    return targets[f"models/{MODEL}/1.0/manifest.json"].hashes["sha256"]


def expired_plans(hub: HubProcess, made: Path) -> None:
    """Nobody renewed the plans for more than a week."""
    repo = repository(hub)
    plans = repo.files.newest("plans")
    plans.signed.version += 1
    plans.signed.expires = datetime.datetime.now(datetime.UTC).replace(
        microsecond=0
    ) - datetime.timedelta(hours=1)
    plans.sign(repo.signer("online"))
    repo.files.write(f"{plans.signed.version}.plans.json", plans.to_bytes())
    repo._seal()


REFUSED: dict[str, tuple[Callable[[HubProcess, Path], None], str]] = {
    "a release that no publisher signed": (unsigned_release, "no publisher signed"),
    "plans signed with a stranger's key": (plan_by_stranger, "plans was signed by 0/1 keys"),
    "plans that expired": (expired_plans, "expired"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_device_refuses_and_goes_on_serving(
    own_hub: HubProcess, tmp_path: Path, case: str
) -> None:
    attack, message = REFUSED[case]
    with open_device(own_hub, tmp_path / "d") as device:
        attack(own_hub, tmp_path / "attack")
        errors = device.sync().errors
        assert message in json.dumps(errors)
        assert device.predict(rows(1)[0]).version == "1.0"


WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from tests.deploy import on_device
on_device.main(*sys.argv[1:])
"""


def test_a_device_without_cryptography_enrols_and_is_updated(
    own_hub: HubProcess, tmp_path: Path
) -> None:
    np.save(tmp_path / "rows.npy", rows(3))
    token = own_hub.token(MODEL)

    def serving(version: str) -> str:
        words = [str(tmp_path / "d"), own_hub.url, token, MODEL, version, f"{tmp_path}/rows.npy"]
        command = [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["errors"] == {}
        return str(said["serving"])

    assert serving("1.0") == "1.0"
    release = make_release(tmp_path / "next", MODEL, "1.1", seed=4)
    own_hub.admin.publish(release.folder, own_hub.key, override="test")
    own_hub.admin.post(f"models/{MODEL}/promote", version="1.1")
    assert serving("1.1") == "1.1"


def test_an_older_plan_is_refused_even_with_a_valid_signature(
    own_hub: HubProcess, tmp_path: Path
) -> None:
    serving = ReleaseRef("1.0", repository_manifest(own_hub))
    with open_device(own_hub, tmp_path / "d") as device:
        repository(own_hub).publish_plan(Plan(MODEL, 9, serving))
        assert device.sync().plan == 9
        repository(own_hub).publish_plan(Plan(MODEL, 3, serving))
        assert "plan 3 is older than plan 9" in device.sync().errors["plan"]


def test_old_metadata_is_refused_even_if_the_cache_was_deleted(
    own_hub: HubProcess, tmp_path: Path
) -> None:
    folder = own_hub.data / "repository" / "metadata"
    shutil.copytree(folder, tmp_path / "old")
    with open_device(own_hub, tmp_path / "d") as device:
        release = make_release(tmp_path / "made", MODEL, "1.1", seed=4)
        own_hub.admin.publish(release.folder, own_hub.key, override="test")
        own_hub.admin.post(f"models/{MODEL}/promote", version="1.1")
        assert device.sync().update == "activated"
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "old", folder)
        shutil.rmtree(tmp_path / "d" / "tuf")
        assert "below" in device.sync().errors["plan"]
        assert device.predict(rows(1)[0]).version == "1.1"


def test_a_release_below_the_signed_floor_is_refused(own_hub: HubProcess, tmp_path: Path) -> None:
    repo = repository(own_hub)
    with open_device(own_hub, tmp_path / "d") as device:
        release = make_release(tmp_path / "made", MODEL, "1.1", seed=4)
        own_hub.admin.publish(release.folder, own_hub.key, override="test")
        own_hub.admin.post(f"models/{MODEL}/promote", version="1.1")
        device.sync()
        target, raw = signing.floor_target(MODEL, 2)
        releases: Metadata[Targets] = repo.releases()
        offered = signing.add_targets(releases, {target.path: target}, repo.signer("releases"))
        repo.accept_releases(offered, lambda _: raw)
        own_hub.admin.post(f"models/{MODEL}/promote", version="1.0")
        assert "below the floor 2" in device.sync().errors["update"]
        assert device.predict(rows(1)[0]).version == "1.1"


def test_a_stolen_online_key_cannot_sign_releases(own_hub: HubProcess) -> None:
    repo = repository(own_hub)
    releases = repo.releases()
    target = TargetFile.from_data(f"models/{MODEL}/9.9/manifest.json", b"evil")
    releases.signatures.clear()
    forged = signing.add_targets(releases, {target.path: target}, repo.signer("online"))
    with pytest.raises(Exception, match="not signed with the releases key"):
        repo.accept_releases(forged, lambda _: b"evil")


def test_a_device_started_from_another_root_believes_nothing(
    own_hub: HubProcess, tmp_path: Path
) -> None:
    stranger = Repository(tmp_path / "stranger", tmp_path / "keys")
    stranger.initialise()
    device = EdgeDevice(
        tmp_path / "d",
        hub=own_hub.url,
        token=own_hub.token(MODEL),
        model=MODEL,
        root=stranger.root().encode(),
        config=PATIENT,
        background=False,
    )
    with device:
        assert "refused" in device.sync().errors["plan"]
        assert device.status()["version"] is None
