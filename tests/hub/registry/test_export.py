"""Versions of a real hub as artifacts: in a layout on disk, and in Debian's registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from cloud_hub.cli.main import main
from converters.exchange.modelpack import artifact_of
from converters.exchange.transfer import pull
from edge_sdk.contract.manifest import MANIFEST
from edge_sdk.model.release import Release
from tests.converters.exchange.registries import (
    NAME,
    PASSWORD,
    running_registry,
    with_password,
)
from tests.edge.builders import make_release, variant_of
from tests.servers import HubProcess
from tests.waiting import PATIENCE


class Exporting(NamedTuple):
    hub: HubProcess
    release: Release

    def token(self, name: str, role: str, *models: str) -> str:
        """Return a token of a new person."""
        self.hub.admin.post("people", name=name, role=role, model=list(models) or None)
        made = self.hub.admin.post("access-tokens", name="test", of=name)
        return str(made["token"])

    def run(self, token: str, *words: str) -> int:
        where = ("--hub", self.hub.url, "--token", token)
        return main(["export", "oci", *words, *where])

    def exports(self) -> list[tuple[str, dict[str, str]]]:
        """Return who exported what, as the audit has it."""
        entries = self.hub.admin.get("audit", limit=100)
        return [(e["actor"], e["detail"]) for e in entries if e["action"] == "release exported"]


def admin_token(exporting: Exporting) -> str:
    return (exporting.hub.data / "admin.token").read_text()


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporting]:
    """A hub with ``demo`` 1.0 of two variants and a document, ``champion`` by its alias."""
    folder = tmp_path_factory.mktemp("hub")
    hub = HubProcess(folder, tick=0)
    release = make_release(
        folder, alternatives=[variant_of("spare")], documents={"model-card.md": b"# demo\n"}
    )
    hub.admin.publish(release.folder, hub.key, override="test")
    hub.admin.response("PUT", "models/demo/aliases/champion", version="1.0")
    yield Exporting(hub, release)
    hub.close()


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"EDGE_REGISTRY_{name}", raising=False)


def test_an_exported_version_is_the_artifact_that_its_publisher_would_push(
    exporting: Exporting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = exporting.token("otto", "operator", "demo")
    reference = f"oci:{tmp_path}/store:1.0"
    assert exporting.run(token, "demo@champion", reference, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["there"]) == ("1.0", 0)
    assert told["digest"] == artifact_of(exporting.release).digest
    assert pull(reference, tmp_path / "out").digest == exporting.release.digest
    detail = {"version": "1.0", "to": reference, "manifest": exporting.release.digest}
    assert ("otto", detail) in exporting.exports()
    assert exporting.run(token, "demo", "1.0", reference) == 0
    assert " 0 bytes sent" in capsys.readouterr().out


@pytest.mark.registry
@pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="docker-registry is a package of Debian"
)
def test_a_version_reaches_a_registry_by_the_rights_of_who_exports(
    exporting: Exporting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    token = exporting.token("olga", "operator")
    with running_registry(tmp_path / "r", with_password(tmp_path / "p")) as address:
        reference = f"{address}/vision/demo:1.0"
        words = ("demo", "1.0", reference, "--plain-http")
        assert exporting.run(token, *words) == 1
        assert "answered 401" in capsys.readouterr().err
        monkeypatch.setenv("EDGE_REGISTRY_USERNAME", NAME)
        monkeypatch.setenv("EDGE_REGISTRY_PASSWORD", PASSWORD)
        assert exporting.run(token, *words) == 0
        found = pull(reference, tmp_path / "out", plain_http=True)
    assert found.digest == exporting.release.digest


REFUSED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a viewer": ("viewer", (), "needs the role operator"),
    "an operator of another model": ("operator", ("other",), "no such model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_may_not_export_leaves_no_artifact_and_reads_no_file(
    exporting: Exporting, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    role, models, reason = REFUSED[case]
    token = exporting.token(f"no-{role}", role, *models)
    assert exporting.run(token, "demo", "1.0", f"oci:{tmp_path}/store:1.0") == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    url = f"{exporting.hub.url}/v1/models/demo/versions/1.0/files/{MANIFEST}"
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(url, headers=headers, timeout=PATIENCE).status_code in (403, 404)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("demo", "1.0", "nowhere"), "reference: expected"),
        (("demo", "9.9", "oci:{}/store:1"), "9.9"),
        (("demo", "1.0", "127.0.0.1:9/demo:1", "--plain-http"), "cannot be reached"),
    ],
)
def test_what_cannot_be_exported_is_an_error_in_words(
    exporting: Exporting, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    token = admin_token(exporting)
    assert exporting.run(token, *(word.format(tmp_path) for word in words)) == 1
    assert reason in capsys.readouterr().err


def test_a_file_that_the_manifest_does_not_name_is_not_there(exporting: Exporting) -> None:
    base = f"{exporting.hub.url}/v1/models/demo/versions/1.0/files"
    headers = {"Authorization": f"Bearer {admin_token(exporting)}"}
    for name in ("nothing", "..%2F..%2Fadmin.token", "%2e%2e"):
        answer = requests.get(f"{base}/{name}", headers=headers, timeout=PATIENCE)
        assert answer.status_code == 404, name
