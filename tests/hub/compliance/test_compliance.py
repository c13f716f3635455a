"""Archives of evidence: what is inside, and that nothing can be changed unnoticed."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from cloud_hub.compliance.archive import STATEMENT, packed, unpacked
from cloud_hub.compliance.service import compliance_archive
from cloud_hub.compliance.verifying import verified
from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub
from cloud_hub.registry.keys.changes import KeyChange

MODEL = "demo"


@pytest.fixture
def root(serving: Hub) -> bytes:
    return serving.repository.files.raw("1.root.json")


@pytest.fixture
def archive(serving: Hub) -> bytes:
    serving.aliases.set_alias(MODEL, "champion", "1.0", actor="ann")
    return compliance_archive(serving, MODEL, "1.0", actor="ann")


def test_an_archive_holds_the_evidence_and_proves_itself(
    serving: Hub, archive: bytes, root: bytes
) -> None:
    found = verified(archive, root)
    assert (found.model, found.version, found.made_by) == (MODEL, "1.0", "ann")
    assert found.hub == serving.repository.identity()
    assert found.manifest == serving.registry.version(MODEL, "1.0").manifest
    files = unpacked(archive)
    actions = {entry["action"] for entry in json.loads(files["audit.json"])}
    assert {"publish", "plan", "alias set"} <= actions
    assert json.loads(files["names.json"])["aliases"] == {"champion": "1.0"}
    assert json.loads(files["decisions.json"])["plans"][0]["detail"]["reason"] == "first"
    assert "Article 12" in files["README.md"].decode()
    assert not [name for name in files if name.endswith(".onnx")]
    assert serving.audit.entries(MODEL, 1)[0].action == "compliance exported"


def changed(files: dict[str, bytes]) -> None:
    files["audit.json"] = files["audit.json"].replace(b"ann", b"bob")


def added(files: dict[str, bytes]) -> None:
    files["audit2.json"] = b"[]"


def removed(files: dict[str, bytes]) -> None:
    del files["drift.json"]


def rewritten(files: dict[str, bytes]) -> None:
    envelope = json.loads(files[STATEMENT])
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    files[STATEMENT] = json.dumps(envelope).encode()


def unsigned(files: dict[str, bytes]) -> None:
    envelope = json.loads(files[STATEMENT])
    files[STATEMENT] = json.dumps({**envelope, "signatures": []}).encode()


def without_a_statement(files: dict[str, bytes]) -> None:
    del files[STATEMENT]


ATTACKS = {
    changed: "audit.json was changed after", added: "audit2.json was added after",
    removed: "drift.json is signed, and missing", rewritten: "signature is wrong",
    unsigned: "signature is wrong", without_a_statement: "expected one of edge-hub export",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_archive_that_somebody_touched_is_refused(
    archive: bytes, root: bytes, attack: object
) -> None:
    files = unpacked(archive)
    attack(files)  # type: ignore[operator]
    with pytest.raises(Invalid, match=ATTACKS[attack]):  # type: ignore[index]
        verified(packed(files), root)


def test_a_root_of_another_hub_proves_nothing(archive: bytes, root: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, Root

    from cloud_hub.registry.roles import first_root

    other = CryptoSigner(Ed25519PrivateKey.generate())
    expires = datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)
    mine = Metadata[Root](first_root([other.public_key], 1, other.public_key, expires))
    mine.sign(other)
    with pytest.raises(Invalid, match="signature is wrong"):
        verified(archive, mine.to_bytes())


def test_after_a_rotation_an_older_root_still_proves_new_archives(
    serving: Hub, root: bytes
) -> None:
    serving.keys.rotate({"online": KeyChange()}, 365)
    archive = compliance_archive(serving, MODEL, "1.0", actor="ann")
    assert verified(archive, root).version == "1.0"
    old_roots = unpacked(archive)
    assert [name for name in old_roots if name.endswith("2.root.json")]


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04nonsense", b"{}"])
def test_what_is_no_archive_is_refused(raw: bytes, root: bytes) -> None:
    with pytest.raises(Invalid, match="expected a ZIP"):
        verified(raw, root)


def test_a_bomb_is_not_unpacked() -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as bomb:
        for i in range(5_001):
            bomb.writestr(f"{i}", b"")
    with pytest.raises(Invalid, match="at most"):
        unpacked(raw.getvalue())


def test_verify_needs_the_root_alone(
    archive: bytes, root: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.zip").write_bytes(archive)
    (tmp_path / "root.json").write_bytes(root)
    words = ["export", "verify", str(tmp_path / "a.zip"), "--root", str(tmp_path / "root.json")]
    assert main(words) == 0
    assert "demo 1.0" in capsys.readouterr().out
    (tmp_path / "a.zip").write_bytes(archive[:-100])
    assert main(words) == 1
