"""The next versions of root and targets: renewed, with other keys, with other thresholds. Pure.

Owners speak of three groups of keys; each is listed in one or two documents:

========  ======================================  =====================
group     roles in ``root``                       delegated in targets
========  ======================================  =====================
offline   root, targets
releases                                          releases
online    snapshot, timestamp                     plans
========  ======================================  =====================
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Role, Root, Targets

from cloud_hub.errors import Invalid
from cloud_hub.registry.roles import PLANS, RELEASES

OFFLINE: Final = "offline"
ONLINE: Final = "online"
GROUPS: Final = (OFFLINE, RELEASES, ONLINE)
ED25519: Final = "ed25519"
"""The one type of keys that devices verify without cryptography."""

IN_ROOT: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {OFFLINE: ("root", "targets"), RELEASES: (), ONLINE: ("snapshot", "timestamp")}
)
IN_TARGETS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {OFFLINE: (), RELEASES: (RELEASES,), ONLINE: (PLANS,)}
)


@dataclass(frozen=True)
class KeyChange:
    """A change of one group of keys.

    Attributes:
        add: public keys that come.
        remove: beginnings of the ids of keys that go; ``all`` for all that are there.
        threshold: number of signatures that it takes afterwards; ``None`` leaves it, or lowers it
            to the number of keys.
    """

    add: tuple[Key, ...] = ()
    remove: tuple[str, ...] = ()
    threshold: int | None = None


def next_root(
    current: Root, changes: Mapping[str, KeyChange], expires: datetime.datetime
) -> Metadata[Root]:
    """Return the root that follows, not signed.

    Args:
        current: in force.
        changes: by group; those that root does not list are left out.
        expires: end of its validity.

    Raises:
        Invalid: a change that cannot be made, or keys that devices do not verify.
    """
    root = copy.deepcopy(current)
    root.version += 1
    root.expires = expires
    for group, change in changes.items():
        for name in IN_ROOT[group]:
            _edit(root, name, root.roles[name], change, group)
    return Metadata(root)


def next_targets(
    current: Targets, changes: Mapping[str, KeyChange], expires: datetime.datetime
) -> Metadata[Targets]:
    """Return the targets that follow, not signed; see :func:`next_root`.

    Args:
        current: in force.
        changes: by group; those that targets do not delegate to are left out.
        expires: end of its validity.

    Raises:
        Invalid: a change that cannot be made.
    """
    targets = copy.deepcopy(current)
    targets.version += 1
    targets.expires = expires
    for group, change in changes.items():
        for name in IN_TARGETS[group]:
            _edit(targets, name, targets.get_delegated_role(name), change, group)
    return Metadata(targets)


def next_releases(current: Targets, expires: datetime.datetime) -> Metadata[Targets]:
    """Return releases that list the same, valid for longer, not signed.

    Args:
        current: in force.
        expires: end of its validity.
    """
    releases = copy.deepcopy(current)
    releases.version += 1
    releases.expires = expires
    return Metadata(releases)


def _edit(document: Root | Targets, name: str, role: Role, change: KeyChange, group: str) -> None:
    for keyid in _removed(role.keyids, change.remove, group):
        document.revoke_key(keyid, name)
    for key in change.add:
        if key.keytype != ED25519:
            raise Invalid(
                f"{group}: expected an Ed25519 key, got {key.keytype}; devices verify no other"
            )
        document.add_key(key, name)
    if not role.keyids:
        raise Invalid(f"{group}: no key would be left; add another one in the same change")
    # A threshold that nobody could reach would lock the owner out.
    wanted = min(role.threshold, len(role.keyids)) if change.threshold is None else change.threshold
    if not 1 <= wanted <= len(role.keyids):
        raise Invalid(
            f"{group}: expected a threshold of 1 to {len(role.keyids)} for "
            f"{len(role.keyids)} keys, got {wanted}"
        )
    role.threshold = wanted


def _removed(keyids: Iterable[str], beginnings: Sequence[str], group: str) -> list[str]:
    """Return the ids that are meant; raises Invalid unless each beginning means one."""
    keyids = list(keyids)
    if "all" in beginnings:
        return keyids
    found = []
    for beginning in beginnings:
        fits = [keyid for keyid in keyids if keyid.startswith(beginning)]
        if len(fits) != 1 or not beginning:
            there = ", ".join(keyid[:12] for keyid in keyids)
            raise Invalid(
                f"{group}: expected the beginning of one key id of {there}; got {beginning!r}"
            )
        found += fits
    return list(dict.fromkeys(found))  # named twice: by its file and by its id, say
