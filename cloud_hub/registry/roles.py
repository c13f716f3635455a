"""The roles of the signed repository: who may sign what, for how long, and what may follow what.

Pure functions over metadata.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations, Root, Targets

from cloud_hub.errors import Conflict

RELEASES: Final = "releases"
PLANS: Final = "plans"
PATHS: Final = {RELEASES: ["models/*/*/*", "models/*/*", "packs/*/*"], PLANS: ["plans/*"]}

YEAR: Final = datetime.timedelta(days=365)
WEEK: Final = datetime.timedelta(days=7)
DAY: Final = datetime.timedelta(days=1)

LONG: Final = ("root", "targets", RELEASES)
"""Roles whose keys may be kept away from the hub."""

VALIDITY: Final[Mapping[str, datetime.timedelta]] = MappingProxyType(
    {"root": YEAR, "targets": YEAR, RELEASES: YEAR, PLANS: WEEK, "snapshot": WEEK, "timestamp": DAY}
)
"""How long metadata of each role is valid after it was signed; all roles, in order of trust."""


def first_root(
    offline: Sequence[Key], threshold: int, online: Key, expires: datetime.datetime
) -> Root:
    """Return the first root.

    Args:
        offline: keys of root and targets.
        threshold: number of them that it takes.
        online: key of snapshot and timestamp.
        expires: end of its validity.
    """
    # Consistent snapshots: every file has a version or a hash in its name, so a device that
    # downloads while somebody publishes never meets a mixture.
    root = Root(expires=expires, consistent_snapshot=True)
    for role in ("root", "targets"):
        for key in offline:
            root.add_key(key, role)
        root.roles[role].threshold = threshold
    for role in ("snapshot", "timestamp"):
        root.add_key(online, role)
    return root


def first_targets(releases: Key, online: Key, expires: datetime.datetime) -> Targets:
    """Return targets metadata that lists nothing and delegates everything.

    Args:
        releases: the publisher's key.
        online: key of plans.
        expires: end of its validity.
    """
    keys = {RELEASES: releases, PLANS: online}
    delegated = {
        name: DelegatedRole(name, [key.keyid], 1, terminating=True, paths=PATHS[name])
        for name, key in keys.items()
    }
    public = {key.keyid: key for key in keys.values()}
    return Targets(expires=expires, delegations=Delegations(public, delegated))


def check_successor(offered: Targets, current: Targets) -> None:
    """Refuse ``releases`` that do not follow those in force.

    Args:
        offered: by a publisher.
        current: in force.

    Raises:
        Conflict: another version than the next one, or a published target is changed or missing.
    """
    # The version is the lock of publishers who sign elsewhere: the second one starts again.
    expected = current.version + 1
    if offered.version != expected:
        raise Conflict(
            f"releases: expected version {expected}, got {offered.version}; "
            "somebody else published meanwhile, fetch it again"
        )
    for path, target in current.targets.items():
        # Floors rise: the one target that a publisher may replace.
        if path.endswith("/floor.json"):
            continue
        if offered.targets.get(path) != target:
            raise Conflict(f"{path}: a published target cannot be changed or removed")
