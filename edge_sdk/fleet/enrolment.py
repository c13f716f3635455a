"""Joining a fleet: once, with a token that the hub gave out; afterwards the device has its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.fleet import EnrolRequest
from edge_sdk.errors import StateError
from edge_sdk.system.logs import Log
from edge_sdk.update.trust import check_root

if TYPE_CHECKING:
    from edge_sdk.hub.client import HubClient
    from edge_sdk.state_db import StateDatabase


_log = Log(__name__)


@dataclass(frozen=True)
class Identity:
    """The device as its hub knows it; ``root`` are the bytes that its trust starts from."""

    device: str
    token: str
    model: str
    root: bytes


def hub_of(store: StateDatabase) -> str | None:
    """Return the URL of the hub that the device of ``store`` spoke with last."""
    url: str | None = store.get("hub")
    return url


def identity(store: StateDatabase) -> Identity | None:
    """Return the identity in ``store``, if the device was enrolled."""
    plain = store.get("identity")
    if plain is None:
        return None
    return Identity(plain["device"], plain["token"], plain["model"], plain["root"].encode())


def enrol(
    store: StateDatabase,
    client: HubClient,
    *,
    model: str | None,
    token: str | None,
    attributes: Mapping[str, str],
    root: bytes | None = None,
) -> Identity:
    """Return the device's identity: the one it has, else a new one from the hub.

    Args:
        store: of the device.
        client: of the hub; it is authorised with the device's own token.
        model: whose fleet to join.
        token: enrolment token; not needed again once the device is enrolled.
        attributes: for cohorts, such as ``{"region": "eu"}``.
        root: bytes of a ``root.json`` baked into the image; else the hub's at enrolment is trusted.

    Raises:
        StateError: not enrolled and no token, or enrolled for another model.
        HubError: the hub refused, or cannot be reached.
    """
    own = identity(store)
    if own is None:
        own = _join(store, client, model, token, attributes, root)
    elif model is not None and model != own.model:
        raise StateError(
            f"{store.folder}: belongs to a device of model {own.model!r}, not {model!r}; "
            "use another state folder"
        )
    client.authorise(own.token)
    return own


def check_token(token: Any) -> None:
    """Refuse what is no token of any hub; raises :class:`StateError`."""
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise StateError(f"token: expected one of edge-hub enrol-token, got {token!r:.60}")


def _join(
    store: StateDatabase,
    client: HubClient,
    model: str | None,
    token: str | None,
    attributes: Mapping[str, str],
    root: bytes | None,
) -> Identity:
    if model is None or token is None:
        raise StateError(
            f"{store.folder}: this device is not enrolled yet; it needs the name of a model and an "
            "enrolment token (edge-hub enrol-token MODEL)"
        )
    check_token(token)
    if root is not None:
        check_root(root)
    reply = client.enrol(token, EnrolRequest(model, attributes))
    joined = Identity(reply.device, reply.token, model, root or reply.root.encode())
    store.put("identity", {**vars(joined), "root": joined.root.decode()})
    _log.info("enrolled as %s for model %s with the hub at %s", joined.device, model, client.url)
    return joined
