"""The device's Ed25519 key pair: made here, and the private half never leaves.

The only module of the device package that signs; what others signed, ``tuf`` verifies by
:mod:`edge_sdk.hub.verifying_key`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.fleet import (
    CredentialRequest,
    EnrolRequest,
    credential_bytes,
    enrolment_bytes,
)

if TYPE_CHECKING:
    from nacl.signing import SigningKey


class DeviceKey:
    """One key pair.

    Args:
        seed: the 32 secret bytes.

    Raises:
        ValueError: there are not 32.
    """

    def __init__(self, seed: bytes) -> None:
        from nacl.signing import SigningKey

        self._private: SigningKey = SigningKey(seed)
        self._seed = seed

    @classmethod
    def generate(cls) -> DeviceKey:
        """Return a new key pair, from the system's randomness."""
        import secrets

        return cls(secrets.token_bytes(32))

    @property
    def seed(self) -> bytes:
        """The secret; it belongs into files that only the device's user can read."""
        return self._seed

    @property
    def public(self) -> str:
        """The public half, in hexadecimal; anybody may know it."""
        return bytes(self._private.verify_key).hex()

    def enrolment(
        self,
        models: Sequence[str],
        token: str | None,
        *,
        attributes: Mapping[str, str] | None = None,
        serial: str | None = None,
    ) -> EnrolRequest:
        """Return a signed request to join fleets.

        Args:
            models: whose fleets to join; none for all that the token or the serial is for.
            token: enrolment token or one-time secret that will go with it; ``None`` for none.
            attributes: text by name, for cohorts.
            serial: serial number, if the device was registered by one.
        """
        own = dict(attributes or {})
        signature = self._sign(enrolment_bytes(token, models, self.public, own, serial))
        return EnrolRequest(tuple(models), self.public, signature, own, serial)

    def credential_request(self, device: str, generation: int, nonce: str) -> CredentialRequest:
        """Return a signed request for a credential; see :class:`CredentialRequest`."""
        signature = self._sign(credential_bytes(device, generation, nonce))
        return CredentialRequest(device, generation, nonce, signature)

    def _sign(self, message: bytes) -> str:
        return self._private.sign(message).signature.hex()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, DeviceKey) and other._seed == self._seed

    def __hash__(self) -> int:
        return hash(self._seed)

    def __repr__(self) -> str:
        return f"<DeviceKey {self.public[:12]}…>"  # never the seed: it would end in a log
