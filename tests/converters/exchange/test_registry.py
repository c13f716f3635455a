"""Releases in a real registry: what is pushed comes back bit for bit, and nothing else does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from converters import convert
from converters.cli.main import main
from converters.errors import ExchangeError
from converters.exchange.modelpack import ARTIFACT, CONFIG, FILE_PATH, IMAGE_MANIFEST, artifact_of
from converters.exchange.transfer import pull, push
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import MANIFEST
from edge_sdk.model.release import Release
from tests.converters.exchange.registries import (
    IDENTITY,
    NAME,
    PASSWORD,
    TokenGiver,
    running_registry,
    with_password,
)
from tests.converters.exchange.test_docker_config import add_helper
from tests.edge.builders import make_release, variant_of
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(
        shutil.which("docker-registry") is None, reason="docker-registry is a package of Debian"
    ),
]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Two variants, which have golden vectors of the same bytes, and a document."""
    return make_release(
        tmp_path_factory.mktemp("release"), alternatives=[variant_of("spare")],
        documents={"model-card.md": b"# demo\n"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"EDGE_REGISTRY_{name}", raising=False)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pulled_release_is_the_same_bytes_and_answers(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1_000).fit(x, y)
    release = convert(model, x, y, name="iris", out=tmp_path / "made", variants=("float32",))
    reference, out = f"{registry}/vision/iris:1.0", tmp_path / "out"
    assert main(["push", str(release.folder), reference, "--plain-http"]) == 0
    assert main(["pull", reference, str(out), "--digest", release.digest, "--plain-http"]) == 0
    assert f"ok: iris 1.0 ({release.digest})" in capsys.readouterr().out
    assert files(out) == files(release.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"made", "out"}
    with EdgeDevice.offline(release.folder) as one, EdgeDevice.offline(out) as other:
        here, there = one.predict_batch(x), other.predict_batch(x)
    assert np.array_equal(here.probabilities, there.probabilities)


def test_what_is_there_is_not_sent_again(registry: str, release: Release, tmp_path: Path) -> None:
    first = push(release, f"{registry}/again:1.0", plain_http=True)
    second = push(release, f"{registry}/again:also", plain_http=True)
    assert (first.digest, second.digest) == (artifact_of(release).digest,) * 2
    assert second.sent == 0
    assert second.there == first.sent + first.there
    named = f"{registry}/again@{first.digest}"
    assert pull(named, tmp_path / "out", plain_http=True).digest == release.digest


def test_the_artifact_is_one_of_modelpack(registry: str, release: Release) -> None:
    push(release, f"{registry}/spec:1.0", plain_http=True)
    base = f"http://{registry}/v2/spec"
    manifest = requests.get(
        f"{base}/manifests/1.0", headers={"Accept": IMAGE_MANIFEST}, timeout=PATIENCE
    ).json()
    assert (manifest["artifactType"], manifest["config"]["mediaType"]) == (ARTIFACT, CONFIG)
    kinds = {
        layer["annotations"][FILE_PATH]: layer["mediaType"].removeprefix("application/vnd.cncf.")
        for layer in manifest["layers"]
    }
    assert set(kinds) == set(release.manifest.files) | {MANIFEST}
    assert kinds["model.onnx"] == "model.weight.v1.raw"
    assert kinds[MANIFEST] == "model.weight.config.v1.raw"
    assert kinds["model-card.md"] == "model.doc.v1.raw"
    config = requests.get(f"{base}/blobs/{manifest['config']['digest']}", timeout=PATIENCE).json()
    assert config["descriptor"]["name"], config["config"]["format"] == ("demo", "onnx")
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]


def test_a_pull_that_was_cut_goes_on(registry: str, release: Release, tmp_path: Path) -> None:
    reference, out = f"{registry}/cut:1.0", tmp_path / "out"
    push(release, reference, plain_http=True)
    model = release.manifest.files["model.onnx"].sha256
    staging = tmp_path / f".out.{release.digest[:16]}.pull"
    staging.mkdir()
    raw = (release.folder / "model.onnx").read_bytes()
    (staging / model).write_bytes(raw[: len(raw) // 2])
    # Damaged where it was cut, and a file of the right length and the wrong bytes.
    (staging / release.digest).write_bytes(b" " * (release.folder / MANIFEST).stat().st_size)
    pull(reference, out, plain_http=True)
    assert files(out) == files(release.folder)
    assert not staging.exists()


def test_a_password_is_asked_for_and_found_where_docker_keeps_it(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_registry(tmp_path / "r", with_password(tmp_path / "p")) as address:
        reference = f"{address}/demo:1.0"
        with pytest.raises(ExchangeError, match="answered 401 to HEAD; sign in"):
            push(release, reference, plain_http=True)
        auths = {address: {"auth": "YW5uOnMzY3JldA=="}}
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        push(release, reference, plain_http=True)
        monkeypatch.setenv("EDGE_REGISTRY_USERNAME", NAME)
        monkeypatch.setenv("EDGE_REGISTRY_PASSWORD", "wrong")
        with pytest.raises(ExchangeError, match="answered 401"):
            pull(reference, tmp_path / "out", plain_http=True)
        assert not (tmp_path / "out").exists()


def test_a_password_of_a_credential_helper_opens_a_registry(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_registry(tmp_path / "r", with_password(tmp_path / "p")) as address:
        add_helper(tmp_path / "bin", "ring", {address: {"Username": NAME, "Secret": PASSWORD}})
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        (tmp_path / "config.json").write_text(json.dumps({"credsStore": "ring"}))
        push(release, f"{address}/demo:1.0", plain_http=True)
        found = pull(f"{address}/demo:1.0", tmp_path / "out", plain_http=True)
    assert found.digest == release.digest


def test_an_identity_token_is_shown_to_who_gives_tokens_and_to_nobody_else(
    release: Release, tmp_path: Path
) -> None:
    giver = TokenGiver(tmp_path / "g")
    with running_registry(tmp_path / "r", giver.auth()) as address:
        auths = {address: {"auth": "", "identitytoken": IDENTITY}}
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        push(release, f"{address}/demo:1.0", plain_http=True)
        auths[address]["identitytoken"] = "another"
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        with pytest.raises(ExchangeError, match="answered 401 to token"):
            pull(f"{address}/demo:1.0", tmp_path / "out", plain_http=True)
    giver.close()
    assert any("push" in scope for scope in giver.asked)


def test_a_token_is_fetched_where_the_registry_says(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    giver = TokenGiver(tmp_path / "g")
    monkeypatch.setenv("EDGE_REGISTRY_USERNAME", NAME)
    monkeypatch.setenv("EDGE_REGISTRY_PASSWORD", PASSWORD)
    with running_registry(tmp_path / "r", giver.auth()) as address:
        push(release, f"{address}/demo:1.0", plain_http=True)
        found = pull(f"{address}/demo:1.0", tmp_path / "out", plain_http=True)
    giver.close()
    assert found.digest == release.digest
    assert "repository:demo:pull" in giver.asked
    assert any("push" in scope for scope in giver.asked)


def test_another_release_than_the_expected_one_leaves_nothing(
    registry: str, release: Release, tmp_path: Path
) -> None:
    reference = f"{registry}/other:1.0"
    push(release, reference, plain_http=True)
    with pytest.raises(ExchangeError, match="expected the release 00"):
        pull(reference, tmp_path / "out", digest="0" * 64, plain_http=True)
    with pytest.raises(ExchangeError, match="answered 404 to GET; there is no such artifact"):
        pull(f"{registry}/other:9.9", tmp_path / "out", plain_http=True)
    assert list(tmp_path.iterdir()) == []
