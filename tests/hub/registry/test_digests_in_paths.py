"""A digest that somebody sent is a SHA-256 before it becomes part of a path, wherever that is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.hub import Hub
from cloud_hub.registry.signing import add_targets
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.plan import ReleaseRef
from edge_sdk.errors import TrustError
from edge_sdk.update.trust import _sha256
from tests.structure import modules

HOSTILE = [
    "../../precious", "..", ".", "", "/etc", "a/b", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n",
    "0" * 63 + "/", "../" * 21 + "x", "\x00" * 64, "０" * 64,
]  # fmt: skip
PATH = "models/demo/1.0/manifest.json"


def unsigned(hub: Hub, digest: str, algorithm: str = "sha256") -> Metadata[Targets]:
    """Metadata that names a file by this digest; nobody has signed it."""
    releases = hub.repository.releases()
    releases.signatures.clear()
    releases.signed.version += 1
    releases.signed.targets[PATH] = TargetFile(3, {algorithm: digest}, PATH)
    return releases


def test_unsigned_metadata_whose_hash_is_a_path_touches_nothing(inner: Hub) -> None:
    """The folder cache/../../precious was deleted before."""
    (inner.settings.data.parent / "precious").mkdir()
    (inner.settings.data / "cache").mkdir(exist_ok=True)
    before = sorted(inner.settings.data.parent.rglob("*"))
    for digest in HOSTILE:
        with pytest.raises(Invalid, match="expected a SHA-256 of 64 hexadecimal digits"):
            inner.registry.accept(unsigned(inner, digest).to_bytes(), "demo", "1.0", actor="x")
    assert sorted(inner.settings.data.parent.rglob("*")) == before


def test_metadata_that_nobody_signed_is_refused_before_anything_is_looked_for(inner: Hub) -> None:
    with pytest.raises(Invalid, match="not signed with the releases key"):
        inner.registry.accept(unsigned(inner, "0" * 64).to_bytes(), "demo", "1.0", actor="x")


@pytest.mark.parametrize("algorithm", ["sha512", "md5", "blake2b-256", "whirlpool"])
def test_targets_without_a_sha256_are_refused_in_words(inner: Hub, algorithm: str) -> None:
    raw = unsigned(inner, "0" * 128, algorithm).to_bytes()
    with pytest.raises(Invalid, match=f"expected a SHA-256, got {algorithm} only"):
        inner.registry.accept(raw, "demo", "1.0", actor="x")
    target = TargetFile(3, {algorithm: "0" * 128}, PATH)
    with pytest.raises(TrustError, match=f"expected a SHA-256, it is signed with {algorithm}"):
        _sha256(target)
    signer = inner.repository.signer("releases")
    signed = add_targets(inner.repository.releases(), {PATH: target}, signer)
    with pytest.raises(Invalid, match="expected a SHA-256"):  # with a signature too
        inner.repository.accept_releases(signed, lambda _: b"abc")


TAKE: dict[str, Callable[[Hub, str], object]] = {
    "a blob that is read": lambda hub, digest: hub.blobs.get(digest),
    "a blob that is asked for": lambda hub, digest: hub.blobs.exists(digest),
    "an upload": lambda hub, digest: hub.blobs.put_checked(digest, [b"x"]),
    "a release's folder": lambda hub, digest: hub.registry._folder(digest),
    "a target": lambda hub, digest: hub.repository.put_target(
        PATH, TargetFile(3, {"sha256": digest}, PATH), lambda _: b"abc"
    ),
    "a target on a device": lambda hub, digest: _sha256(TargetFile(3, {"sha256": digest}, PATH)),
    "a release that a plan names": lambda hub, digest: ReleaseRef("1.0", digest),
    "a file that a plan or a manifest names": lambda hub, digest: FileRef(3, digest),
}


@pytest.mark.parametrize("place", TAKE)
def test_every_place_that_takes_a_digest_refuses_what_is_none(inner: Hub, place: str) -> None:
    before = sorted(inner.settings.data.parent.rglob("*"))
    for digest in HOSTILE:
        with pytest.raises((HubFault, ContractError, TrustError), match="SHA-256"):
            TAKE[place](inner, digest)
    assert sorted(inner.settings.data.parent.rglob("*")) == before


VERIFIED_BY = {
    "cloud_hub.backup.saving._named_blobs": "no path: compared with names of what was copied",
    "cloud_hub.batch.publishing._place": "FileRef of a share, check_digest of its base, TargetFile",
    "cloud_hub.cli.data.batch._pack": "the hub, which checked it as a FileRef",
    "cloud_hub.client.admin.upload": "made here, of the content",
    "cloud_hub.features.history_store._name": "made here, of the content",
    "cloud_hub.forms.routes.form": "check_digest in front of it",
    "cloud_hub.forms.service": "digests of releases and packs, from verified metadata",
    "cloud_hub.forms.store.add": "made here, of the content",
    "cloud_hub.registry.blobs._name": "check_digest in front of it",
    "cloud_hub.registry.repository.put_target": "sha256_of",
    "cloud_hub.registry.service._folder": "check_digest in front of it",
    "cloud_hub.registry.service._materialise": "the database, filled from verified metadata",
    "cloud_hub.registry.service._reconcile": "sha256_of",
    "cloud_hub.packs.publishing.pack_file": "FileRef",
    "cloud_hub.storage.target_place.place_of": "its callers: FileRef of a share, TargetFile",
    "cloud_hub.web.assets.asset_url": "made here, of a file of the package",
    "edge_sdk.contract.plan.target": "FileRef",
    "edge_sdk.contract.entity_index.pack_path": "FileRef",
    "edge_sdk.contract.entity_index.signed_index": "_sha256 on devices, TargetFile at the hub",
    "edge_sdk.contract.pack_delta.delta_target": "FileRef",
    "edge_sdk.contract.patch.form_path": "check_digest of the key, FileRef of the form",
    "edge_sdk.hub.client.download": "FileRef",
    "edge_sdk.update.entity_packs._made": "FileRef",
    "edge_sdk.update.entity_packs._file": "FileRef",
    "edge_sdk.update.forms._made": "FileRef",
    "edge_sdk.update.trust._fetch": "_sha256",
    "edge_sdk.update.slots": "SlotRef of a ReleaseRef, whose digests were checked",
}
"""Functions that put a digest into a path or URL, and who made sure before that it is one."""

NAMES = {"digest", "sha256", "manifest"}


def makers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions of a file that join a digest to a path, or write one into a text with a slash."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        if any(_joins(node) for node in ast.walk(function)):
            yield function.name, function.lineno


def _joins(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _last_name(node.right) in NAMES
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(v.value) for v in node.values if isinstance(v, ast.Constant))
        named = any(
            _last_name(v.value) in NAMES for v in node.values if isinstance(v, ast.FormattedValue)
        )
        return named and " " not in text and ("/" in text or "." in text)
    return False


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return ""
    return node.id if isinstance(node, ast.Name) else ""


def test_whoever_puts_a_digest_into_a_path_says_who_verified_it() -> None:
    unknown = []
    for package in ("cloud_hub", "edge_sdk"):
        for module in modules(package):
            for name, line in makers(module.tree):
                known = (f"{module.name}.{name}" in VERIFIED_BY) or module.name in VERIFIED_BY
                if not known:
                    unknown.append(f"{module.name}.{name}:{line}")
    assert unknown == [], "check the digest there and add the place to VERIFIED_BY"
