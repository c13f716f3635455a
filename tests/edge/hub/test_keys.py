"""The device's own signatures, and how it verifies those of others: Ed25519 by libsodium alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature

from edge_sdk.hub.device_key import DeviceKey
from edge_sdk.hub.verifying_key import Ed25519Key, verify_with_libsodium
from tests.waiting import PATIENCE

# RFC 8032, section 7.1, tests 2 and 3: secret key, public key, message, signature.
VECTORS = [
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (b"\x01" + bytes(31)).hex()
"""The point of order one: any message fits one signature under it, where nobody looks."""


def key(public: str, keyid: str = "k") -> Key:
    """The key as tuf reads it from metadata."""
    verify_with_libsodium()
    described = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
    return Key.from_dict(keyid, described)


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(
    seed: str, public: str, message: str, signature: str
) -> None:
    own = DeviceKey(bytes.fromhex(seed))
    assert (own.public, own._sign(bytes.fromhex(message))) == (public, signature)
    found = key(public)
    assert type(found) is Ed25519Key
    found.verify_signature(Signature("k", signature), bytes.fromhex(message))


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        DeviceKey(bytes(31))


def _forged(signature: str, **changed: Any) -> tuple[str, str, bytes]:
    given = {"public": VECTORS[1][1], "signature": signature, "message": b"\xaf\x82"} | changed
    return given["public"], given["signature"], given["message"]


def _second_form(signature: str) -> str:
    """The same signature with its scalar raised by the order of the group."""
    scalar = int.from_bytes(bytes.fromhex(signature)[32:], "little") + GROUP_ORDER
    return signature[:64] + scalar.to_bytes(32, "little").hex()


SIGNATURE = VECTORS[1][3]
REFUSED = {
    "another message": _forged(SIGNATURE, message=b"\xaf\x83"),
    "another key": _forged(SIGNATURE, public=VECTORS[0][1]),
    "a changed signature": _forged("00" + SIGNATURE[2:]),
    "its second form": _forged(_second_form(SIGNATURE)),
    "a key of small order": _forged(IDENTITY + "00" * 32, public=IDENTITY),
}
NO_SIGNATURES = {
    "the message's first byte at the signature's end": _forged(SIGNATURE + "af", message=b"\x82"),
    "a signature cut short": _forged(SIGNATURE[:-2]),
    "no hexadecimal": _forged("zz" * 64),
    "a key cut short": _forged(SIGNATURE, public=VECTORS[1][1][:-2]),
    "a key that is no hexadecimal": _forged(SIGNATURE, public="z" * 64),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_key_did_not_sign_is_unverified(case: str) -> None:
    public, signature, message = REFUSED[case]
    with pytest.raises(UnverifiedSignatureError) as caught:
        key(public).verify_signature(Signature("k", signature), message)
    assert not isinstance(caught.value, VerificationError)


@pytest.mark.parametrize("case", NO_SIGNATURES)
def test_what_is_no_signature_or_no_key_is_refused_as_such(case: str) -> None:
    public, signature, message = NO_SIGNATURES[case]
    with pytest.raises(VerificationError, match="expected a signature and a key of Ed25519"):
        key(public).verify_signature(Signature("k", signature), message)


def test_a_signature_that_names_another_key_is_refused() -> None:
    with pytest.raises(VerificationError, match="by k, got one by other"):
        key(VECTORS[1][1]).verify_signature(Signature("other", SIGNATURE), b"\xaf\x82")


BLOCKED = """
import sys
sys.modules["cryptography"] = None
from edge_sdk.hub.device_key import DeviceKey
from edge_sdk.update import verified
from securesystemslib.signer import Key, Signature
own = DeviceKey.generate()
described = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": own.public}}
found = Key.from_dict("k", described)
found.verify_signature(Signature("k", own._sign(b"plan")), b"plan")
print(type(found).__name__)
"""


def test_the_device_verifies_where_cryptography_is_not_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "Ed25519Key", done.stderr
