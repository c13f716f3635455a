"""Ed25519 signatures of The Update Framework's metadata, verified by libsodium.

``securesystemslib`` verifies by cryptography, which weighs more than all else that a device
installs besides numpy and its runtime; without it, by Python code that is a hundred times slower
and takes signatures in a second form. On the device libsodium verifies, whether cryptography is
installed or not: what is tested is what runs.

libsodium is strict: a signature has one form, and public keys and nonces of small order, with which
one signature fits many messages, are refused.
"""

from __future__ import annotations

from typing import Final

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import VerifyKey
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import KEY_FOR_TYPE_AND_SCHEME, Signature, SSlibKey

SCHEME: Final = ("ed25519", "ed25519")
"""Key type and scheme, as metadata names them."""


class Ed25519Key(SSlibKey):
    """A public key of metadata; its ``keyval`` has 32 bytes in hexadecimal as ``public``."""

    def verify_signature(self, signature: Signature, data: bytes) -> None:
        """Return if a signature is this key's.

        Args:
            signature: 64 bytes in hexadecimal, and the id of the key that made it.
            data: that was signed.

        Raises:
            UnverifiedSignatureError: it is not this key's signature of ``data``.
            VerificationError: key or signature are none at all, or the ids differ.
        """
        if signature.keyid != self.keyid:
            raise VerificationError(
                f"expected a signature by {self.keyid}, got one by {signature.keyid}"
            )
        try:
            # It also checks both lengths: without, a longer signature would begin the data.
            key = VerifyKey(bytes.fromhex(self.keyval["public"]))
            key.verify(data, bytes.fromhex(signature.signature))
        except BadSignatureError as error:
            raise UnverifiedSignatureError(f"not signed by {self.keyid}") from error
        except (CryptoError, ValueError, TypeError) as error:
            raise VerificationError(
                f"expected a signature and a key of Ed25519 in hexadecimal; {error}"
            ) from error


def verify_with_libsodium() -> None:
    """Have ``tuf`` read Ed25519 keys of metadata as :class:`Ed25519Key`, in this process."""
    KEY_FOR_TYPE_AND_SCHEME[SCHEME] = Ed25519Key
