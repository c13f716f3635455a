"""Layouts on disk, names of artifacts, and places that lie: no server needed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from converters.errors import ExchangeError
from converters.exchange.credentials import RegistrySecret
from converters.exchange.distribution import RegistryClient
from converters.exchange.modelpack import artifact_of, digest_of
from converters.exchange.references import ArtifactName, LayoutName, parse_reference
from converters.exchange.transfer import pull, push
from edge_sdk.contract.manifest import MANIFEST
from edge_sdk.model.release import Release
from tests.edge.builders import make_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


def test_a_release_comes_back_from_a_layout_beside_another(
    release: Release, tmp_path: Path
) -> None:
    other = make_release(tmp_path, version="1.1", seed=5)
    store = f"oci:{tmp_path}/store"
    assert push(release, f"{store}:1.0").there == 0
    push(other, f"{store}:1.1")
    push(other, f"{store}:1.1")
    assert pull(f"{store}:1.0", tmp_path / "a").digest == release.digest
    assert pull(f"{store}:1.1", tmp_path / "b").digest == other.digest
    index = json.loads((tmp_path / "store" / "index.json").read_bytes())
    assert len(index["manifests"]) == 2
    with pytest.raises(ExchangeError, match=r"there is no '2\.0', but 1\.0, 1\.1"):
        pull(f"{store}:2.0", tmp_path / "c")


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another kind of artifact": (lambda m: m | {"artifactType": "x"}, "expected the type"),
    "no layers": (lambda m: {"artifactType": m["artifactType"]}, "expected an OCI image manifest"),
    "a list": (lambda m: [m], "expected an OCI image manifest"),
    "no release": (lambda m: m | {"layers": []}, "expected a release"),
    "a file is missing": (lambda m: without(m, "model.onnx"), "expected model.onnx of"),
    "a path for a digest": (lambda m: renamed(m, "sha256:../../x"), "expected a SHA-256"),
    "a size that is none": (
        lambda m: renamed(m, "sha256:" + "0" * 64, size="9"),
        "expected a size",
    ),
    "a size beyond all": (
        lambda m: renamed(m, "sha256:" + "0" * 64, size=1 << 40),
        "expected a size",
    ),
}


def without(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    kept = [x for x in manifest["layers"] if name not in x["annotations"].values()]
    return manifest | {"layers": kept}


def renamed(manifest: dict[str, Any], digest: str, size: Any = 5) -> dict[str, Any]:
    """The layer of the release's manifest has another digest."""
    layers = [
        x | {"digest": digest, "size": size} if MANIFEST in x["annotations"].values() else x
        for x in manifest["layers"]
    ]
    return manifest | {"layers": layers}


@pytest.mark.parametrize("case", DAMAGES)
def test_an_artifact_that_is_none_leaves_nothing(
    release: Release, tmp_path: Path, case: str
) -> None:
    damage, reason = DAMAGES[case]
    push(release, f"oci:{tmp_path}/store:1.0")
    raw = json.dumps(damage(json.loads(artifact_of(release).manifest))).encode()
    index = tmp_path / "store" / "index.json"
    entry = json.loads(index.read_bytes())
    entry["manifests"][0] |= {"digest": digest_of(raw), "size": len(raw)}
    index.write_text(json.dumps(entry))
    (tmp_path / "store" / "blobs" / "sha256" / digest_of(raw)[7:]).write_bytes(raw)
    with pytest.raises(ExchangeError, match=reason):
        pull(f"oci:{tmp_path}/store:1.0", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_blob_is_refused(release: Release, tmp_path: Path) -> None:
    push(release, f"oci:{tmp_path}/store:1.0")
    blob = tmp_path / "store/blobs/sha256" / release.manifest.files["model.onnx"].sha256
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(ExchangeError, match="came damaged"):
        pull(f"oci:{tmp_path}/store:1.0", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("r.example/a/b:1.0", ArtifactName("r.example", "a/b", "1.0", None)),
        ("localhost/a", ArtifactName("localhost", "a", "latest", None)),
        ("[::1]:5000/a:t", ArtifactName("[::1]:5000", "a", "t", None)),
        (
            f"r.example:5000/a@sha256:{'0' * 64}",
            ArtifactName("r.example:5000", "a", None, f"sha256:{'0' * 64}"),
        ),
        ("oci:some/where:1.0", LayoutName(Path("some/where"), "1.0")),
        ("oci:/some/where", LayoutName(Path("/some/where"), "latest")),
    ],
)
def test_names_are_read(text: str, name: ArtifactName | LayoutName) -> None:
    assert parse_reference(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a/b", "r.example/A:1", "r.example/a b", "r.example/../a", "r.example/a:1:2"),
        *("http://r.example/a", "r.example/a@sha256:12", "oci:", "oci::t", "r.example/a?b=c"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ExchangeError, match="reference: expected"):
        parse_reference(text)


def test_a_secret_crosses_no_network_in_the_clear() -> None:
    with pytest.raises(ExchangeError, match="no secret is sent over plain HTTP"):
        RegistryClient(
            ArtifactName.parse("r.example/a"), RegistrySecret(basic="x"), plain_http=True
        )


@pytest.fixture
def liar() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """A registry that sends on to another address; ``seen`` has what it was shown there."""
    seen: dict[str, list[str]] = {"elsewhere": []}

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen["elsewhere"].append(self.headers.get("Authorization", ""))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    class Liar(Elsewhere):
        def do_GET(self) -> None:
            self.send_response(302 if self.headers.get("Authorization") else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Location", f"http://localhost:{other.server_port}/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    other = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    for each in (other, server):
        threading.Thread(target=each.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", seen
    for each in (other, server):
        each.shutdown()
        each.server_close()


def test_a_secret_is_not_sent_on_to_another_host(liar: tuple[str, dict[str, list[str]]]) -> None:
    host, seen = liar
    client = RegistryClient(
        ArtifactName.parse(f"{host}/a:1"), RegistrySecret(basic="c2VjcmV0"), plain_http=True
    )
    assert client.manifest() == b""
    client.close()
    assert seen["elsewhere"] == [""]
