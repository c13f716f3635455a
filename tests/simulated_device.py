"""Devices whose identity is in memory, for fleets that share one process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_sdk.contract.fleet import CredentialRequest, EnrolReply
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.credentials import Credentials
from edge_sdk.hub.device_key import DeviceKey

if TYPE_CHECKING:  # tests of the device need no hub
    from cloud_hub.hub import Hub


@dataclass
class MemoryChain:
    """The requests of one device for credentials; nothing survives a restart."""

    key: DeviceKey
    device: str
    generation: int = 0
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    def request(self) -> CredentialRequest:
        return self.key.credential_request(self.device, self.generation, self.nonce)

    def advance(self) -> None:
        self.generation, self.nonce = self.generation + 1, secrets.token_hex(16)


def join(
    client: HubClient, token: str, model: str, attributes: Mapping[str, str] | None = None
) -> EnrolReply:
    """Enrol a new device over HTTP; ``client`` asks as it from then on."""
    key = DeviceKey.generate()
    reply = client.enrol(token, key.enrolment((model,), token, attributes=attributes))
    client.authenticate(Credentials(MemoryChain(key, reply.device)))
    return reply


def enrolled(
    hub: Hub, token: str, model: str = "demo", attributes: Mapping[str, str] | None = None
) -> str:
    """Enrol a new device at a hub in this process; return its name."""
    return hub.fleet.enrol(
        token, DeviceKey.generate().enrolment((model,), token, attributes=attributes)
    ).device


def credentialed(
    hub: Hub, token: str, model: str = "demo", attributes: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Enrol a new device at a hub in this process; return its name and a credential."""
    key = DeviceKey.generate()
    device = hub.fleet.enrol(token, key.enrolment((model,), token, attributes=attributes)).device
    reply = hub.fleet.identities.new_credential(MemoryChain(key, device).request())
    return device, reply.credential


def vouched(hub: Hub, count: int, model: str = "demo") -> list[str]:
    """Enrol devices with a token for each, so that each is a voter; return their names."""
    tokens = (hub.fleet.new_token(model, uses=1, seconds=60, actor="test") for _ in range(count))
    return [enrolled(hub, token, model) for token in tokens]
