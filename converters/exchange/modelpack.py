"""A release as a model artifact of the CNCF ModelPack specification. Pure.

Every file of a release is a layer of its own, as it is: the layer of ``manifest.json`` therefore
has the digest that names the release, and a registry keeps what two versions share once. The same
release is the same artifact, byte for byte, whoever makes it and whenever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from converters.errors import ExchangeError
from edge_sdk.contract.manifest import DOCUMENTS, MANIFEST, FileRef, Manifest
from edge_sdk.model.release import Release

IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT: Final = "application/vnd.cncf.model.manifest.v1+json"
CONFIG: Final = "application/vnd.cncf.model.config.v1+json"
WEIGHT: Final = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG: Final = "application/vnd.cncf.model.weight.config.v1.raw"
DOC: Final = "application/vnd.cncf.model.doc.v1.raw"

FILE_PATH: Final = "org.cncf.model.filepath"
TITLE: Final = "org.opencontainers.image.title"
VERSION: Final = "org.opencontainers.image.version"
LICENSES: Final = "org.opencontainers.image.licenses"

MANIFEST_LIMIT: Final = 4 << 20
"""Bytes of an image manifest that registries have to take."""

_PRECISIONS: Final = ("float64", "float32", "float16", "int8")


@dataclass(frozen=True)
class Descriptor:
    """A blob: type, digest (``sha256:…``), bytes."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        """Return it as manifests have it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class ModelArtifact:
    """An artifact that is ready to be pushed.

    Attributes:
        manifest: the image manifest.
        config: the model's configuration.
        files: content of the layers by digest.
    """

    manifest: bytes
    config: bytes
    files: Mapping[str, Path]

    @property
    def digest(self) -> str:
        """Name of the artifact."""
        return digest_of(self.manifest)


def digest_of(raw: bytes) -> str:
    """Return the digest of bytes as OCI writes it."""
    return f"sha256:{sha256(raw).hexdigest()}"


def artifact_of(release: Release) -> ModelArtifact:
    """Return a release as an artifact, of all its files."""
    manifest = release.manifest
    length = (release.folder / MANIFEST).stat().st_size
    refs = {MANIFEST: FileRef(length, release.digest), **manifest.files}
    weights = {variant.model for variant in manifest.variants}
    layers = [_layer(name, ref, _media_type(name, weights)) for name, ref in sorted(refs.items())]
    config = _json(_config(manifest, layers))
    made = _json(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "artifactType": ARTIFACT,
            "config": Descriptor(CONFIG, digest_of(config), len(config)).as_json(),
            "layers": layers,
            "annotations": _annotations(manifest),
        }
    )
    if len(made) > MANIFEST_LIMIT:
        raise ExchangeError(f"artifact: expected a manifest of at most {MANIFEST_LIMIT} bytes")
    files = {f"sha256:{ref.sha256}": release.folder / name for name, ref in refs.items()}
    return ModelArtifact(made, config, files)


def layers_of(raw: bytes) -> dict[str, Descriptor]:
    """Return the layers of an image manifest: that of the release's manifest, and all by digest.

    Returns:
        Descriptors by digest; that of ``manifest.json`` also under :data:`MANIFEST`.

    Raises:
        ExchangeError: it is no model artifact, or none that holds a release.
    """
    try:
        read = json.loads(raw)
        kind, layers = read.get("artifactType"), read["layers"]
        found = {
            layer["digest"]: Descriptor(str(layer["mediaType"]), layer["digest"], layer["size"])
            for layer in layers
        }
        names = {layer.get("annotations", {}).get(FILE_PATH): layer["digest"] for layer in layers}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExchangeError(
            "artifact: expected an OCI image manifest, got something else"
        ) from error
    if kind != ARTIFACT:
        raise ExchangeError(f"artifact: expected the type {ARTIFACT}, got {kind!r:.80}")
    if MANIFEST not in names:
        raise ExchangeError(
            f"artifact: expected a release, with a {MANIFEST}, got {len(found)} layers"
        )
    return {**found, MANIFEST: found[names[MANIFEST]]}


def layer_of(layers: Mapping[str, Descriptor], name: str, ref: FileRef) -> Descriptor:
    """Return the layer that holds a file of a release; raises ExchangeError.

    Args:
        layers: of the artifact, by digest.
        name: of the file, for the error.
        ref: length and SHA-256 that the release's own manifest says.
    """
    found = layers.get(f"sha256:{ref.sha256}")
    if found is None or found.size != ref.length:
        raise ExchangeError(f"artifact: expected {name} of {ref.length} bytes, which is not in it")
    return found


def _layer(name: str, ref: FileRef, media_type: str) -> dict[str, Any]:
    described = Descriptor(media_type, f"sha256:{ref.sha256}", ref.length).as_json()
    return {**described, "annotations": {FILE_PATH: name, TITLE: name}}


def _media_type(name: str, weights: set[str]) -> str:
    if name in weights:
        return WEIGHT
    return DOC if name in DOCUMENTS else WEIGHT_CONFIG


def _config(manifest: Manifest, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    descriptor: dict[str, Any] = {"name": manifest.model, "version": manifest.version}
    if manifest.licence:
        descriptor["licenses"] = [manifest.licence]
    precisions = {variant.precision for variant in manifest.variants}
    known = [name for name in _PRECISIONS if name in precisions]
    config = {"format": "onnx", **({"precision": ",".join(known)} if known else {})}
    return {
        "descriptor": descriptor,
        "config": config,
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }


def _annotations(manifest: Manifest) -> dict[str, str]:
    named = {TITLE: manifest.model, VERSION: manifest.version}
    return named | ({LICENSES: manifest.licence} if manifest.licence else {})


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
