"""Joining a fleet: once, with a token or a registered serial; then the device's key speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.fleet import check_serial
from edge_sdk.contract.names import check_name
from edge_sdk.errors import HubError, HubUnreachable, StateError
from edge_sdk.fleet.identity import Identity, IdentityStore
from edge_sdk.hub.credentials import Credentials
from edge_sdk.system.logs import Log
from edge_sdk.update.trust import check_root

if TYPE_CHECKING:
    from edge_sdk.hub.client import HubClient
    from edge_sdk.state_db import StateDatabase
    from edge_sdk.system.providers import ProviderChoice


_log = Log(__name__)


PROVIDERS: Final = "providers"
"""Name of the value that holds the providers with which the device was opened last."""


def hub_of(store: StateDatabase) -> str | None:
    """Return the URL of the hub that the device of ``store`` spoke with last."""
    url: str | None = store.get("hub")
    return url


def providers_of_last_time(store: StateDatabase) -> list[ProviderChoice] | None:
    """Return the execution providers with which the device of ``store`` was opened last."""
    told = store.get(PROVIDERS)
    if not isinstance(told, list):
        return None
    return [each if isinstance(each, str) else (each[0], each[1]) for each in told]


def enrol(
    store: StateDatabase,
    client: HubClient,
    *,
    model: str | None,
    token: str | None,
    attributes: Mapping[str, str],
    root: bytes | None = None,
    serial: str | None = None,
    again: bool = False,
) -> IdentityStore:
    """Return the device's identity: the one it has, else a new one from the hub.

    Args:
        store: of the device.
        client: of the hub; from now on it asks as this device.
        model: whose fleet it is to be in; ``None`` for those in which it is, or for all that the
            token or the serial is for.
        token: enrolment token, or the one-time secret of ``serial``; not needed again once the
            device is enrolled for its models.
        attributes: for cohorts, such as ``{"region": "eu"}``.
        root: bytes of a ``root.json`` baked into the image; else the hub's at enrolment is trusted.
        serial: number by which the device was registered at the hub.
        again: True for a new identity in place of the one it has.

    Raises:
        StateError: it is to be enrolled, and there is neither token nor serial.
        HubError: the hub refused, or cannot be reached.
    """
    identities = None if again else IdentityStore(store)
    own = identities.identity if identities is not None else None
    enrolled = own is not None and own.enrolled
    if own is None or not enrolled or (model is not None and model not in own.models):
        # Refused before anything is written: a wrong call must not cost a device its identity.
        check_joining(store, own if enrolled else None, model, token, root, serial)
        identities = identities or IdentityStore(store, again=True)
        join(identities, client, model, token, attributes, root, serial)
    assert identities is not None
    client.authenticate(Credentials(identities))
    return identities


def check_token(token: Any) -> None:
    """Refuse what is no token of any hub; raises :class:`StateError`."""
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise StateError(f"token: expected one of edge-hub enrol-token, got {token!r:.60}")


def check_joining(
    store: StateDatabase,
    own: Identity | None,
    model: str | None,
    token: str | None,
    root: bytes | None,
    serial: str | None,
) -> None:
    """Refuse what no hub could take, before it is asked.

    Args:
        store: of the device.
        own: its identity, if it is enrolled.
        model: whose fleet to join; ``None`` for all that the token or the serial is for.
        token: enrolment token, or the one-time secret of ``serial``.
        root: bytes of a ``root.json`` baked into the image.
        serial: number by which the device was registered.

    Raises:
        StateError: one of them is not as expected, or there is neither token nor serial.
    """
    if model is not None:
        check_name("model", model)
    if token is None and serial is None:
        if own is not None:
            raise StateError(
                f"{store.folder}: this device is enrolled for {', '.join(own.models)}, and not for "
                f"{model}; it needs an enrolment token for that too (edge-hub enrol-token {model})"
            )
        raise StateError(
            f"{store.folder}: this device is not enrolled yet; it needs an enrolment token "
            "(edge-hub enrol-token MODEL), or its serial number if it was registered (edge-hub "
            "devices register)"
        )
    if token is not None:
        check_token(token)
    if serial is not None:
        check_serial(serial)
    if root is not None:
        check_root(root)


def join(
    identities: IdentityStore,
    client: HubClient,
    model: str | None,
    token: str | None,
    attributes: Mapping[str, str],
    root: bytes | None = None,
    serial: str | None = None,
) -> Identity:
    """Have the hub take a device in, for its first models or for one more.

    Args:
        identities: of the device.
        client: of the hub.
        model: whose fleet to join; ``None`` for all that the token or the serial is for.
        token: enrolment token, or the one-time secret of ``serial``.
        attributes: for cohorts.
        root: bytes of a ``root.json`` baked into the image.
        serial: number by which the device was registered.

    Raises:
        StateError: the identity cannot be written.
        HubError: the hub refused, or cannot be reached.
    """
    own = identities.identity
    if own is None:
        # On the disk before the hub hears of it: if the answer is lost, the next attempt is known.
        own = Identity.new()
        identities.save(own)
    models = () if model is None else (model,)
    request = own.key.enrolment(models, token, attributes=attributes, serial=serial)
    try:
        reply = client.enrol(token, request)
    except HubUnreachable:
        raise  # it may have heard of the new key
    except HubError:
        if not own.enrolled:
            identities.restore_previous()
        raise
    joined = identities.joined(reply, root)
    names = ", ".join(joined.models)
    _log.info("enrolled as %s for %s with the hub at %s", joined.device, names, client.url)
    if reply.standing == "pending":
        _log.warning("%s waits for approval: edge-hub devices approve", joined.device)
    return joined
