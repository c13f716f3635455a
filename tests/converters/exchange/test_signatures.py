"""Signatures over releases, checked by OpenSSF's own verifier as well as by our command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from converters.cli.main import main
from edge_sdk.model.release import Release
from tests.edge.builders import make_release

verifying = pytest.importorskip(
    "model_signing.verifying",
    reason='model-signing is not installed: pip install "edge-deployment-sdk[sign]"',
)


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(pem(key))
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Release, Path]:
    """A release with a signature beside it, and the public key."""
    release = make_release(tmp_path)
    private, public = write_keys(tmp_path, "a")
    assert main(["sign", str(release.folder), "--key", str(private)]) == 0
    return release, public


def test_the_librarys_own_verifier_believes_it(signed: tuple[Release, Path]) -> None:
    release, public = signed
    signature = release.folder.with_name(release.folder.name + ".sig")
    config = verifying.Config().use_elliptic_key_verifier(public_key=public)
    config.verify(release.folder, signature)


def test_the_command_says_which_release_is_signed(
    signed: tuple[Release, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    release, public = signed
    assert main(["check-signature", str(release.folder), "--key", str(public)]) == 0
    assert f"ok: demo 1.0 ({release.digest})" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["another key", "another file", "one more file", "one less"])
def test_what_was_not_signed_is_refused(
    signed: tuple[Release, Path], tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    release, public = signed
    if what == "another key":
        public = write_keys(tmp_path, "b")[1]
    elif what == "another file":
        (release.folder / "model.onnx").write_bytes(b"else")
    elif what == "one more file":
        (release.folder / "more").write_bytes(b"")
    else:
        (release.folder / "golden.npz").unlink()
    assert main(["check-signature", str(release.folder), "--key", str(public)]) == 1
    assert "is not signed with this key" in capsys.readouterr().err


def test_nobody_signs_what_is_damaged_or_with_a_key_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = make_release(tmp_path)
    other = tmp_path / "other.pem"
    other.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    inside = str(release.folder / "x.sig")
    private = str(write_keys(tmp_path, "a")[0])
    cases = {
        ("--key", str(other)): "cannot sign",
        ("--key", str(tmp_path / "none")): "No such file",
        ("--key", private, "--signature", inside): "outside of the release",
    }
    for words, reason in cases.items():
        assert main(["sign", str(release.folder), *words]) == 1
        assert reason in capsys.readouterr().err
    damaged = tmp_path / "damaged"
    shutil.copytree(release.folder, damaged)
    (damaged / "model.onnx").write_bytes(b"else")
    assert main(["sign", str(damaged), "--key", private]) == 1
    assert "model.onnx" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.sig"))
