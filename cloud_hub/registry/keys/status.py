"""When what expires, and who renews it. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WARN_DAYS: Final = (90, 30, 7)
"""Days before the end of a role that nobody renews by itself: from the first one on it is told."""


@dataclass(frozen=True)
class RoleStatus:
    """One role of the repository.

    Attributes:
        role: name.
        version: in force.
        expires: ISO 8601, UTC.
        days_left: until then; negative once it has expired.
        threshold: signatures that it takes.
        keys: ids of its keys.
        held: those of them that are on the hub.
        renews: the hub holds as many as it takes, and renews it by itself.
    """

    role: str
    version: int
    expires: str
    days_left: float
    threshold: int
    keys: tuple[str, ...]
    held: tuple[str, ...]
    renews: bool

    @property
    def due(self) -> bool:
        """Return true if somebody has to do something: it expires soon, or has."""
        return self.days_left <= (0 if self.renews else WARN_DAYS[0])


@dataclass(frozen=True)
class KeyStatus:
    """All roles, and what is to be said of them.

    Attributes:
        roles: in order of trust.
        clock: why nothing is signed for now; ``None`` if all is well.
    """

    roles: tuple[RoleStatus, ...]
    clock: str | None

    @property
    def summary(self) -> str:
        """Return ``ok``, ``renew in N days`` or ``expired``."""
        left = min((role.days_left for role in self.roles if role.due), default=None)
        if left is None:
            return "ok"
        return "expired" if left <= 0 else f"renew in {int(left)} days"

    @property
    def is_well(self) -> bool:
        """Return true if nobody has to do anything."""
        return self.summary == "ok" and self.clock is None


def role_status(
    role: str,
    version: int,
    expires: datetime.datetime,
    now: datetime.datetime,
    *,
    threshold: int,
    keys: Sequence[str],
    held: Sequence[str],
) -> RoleStatus:
    """Return the status of one role.

    Args:
        role: name.
        version: in force.
        expires: end of its validity.
        now: when it is.
        threshold: signatures that it takes.
        keys: ids of its keys.
        held: those of them that are on the hub.
    """
    left = round((expires - now).total_seconds() / 86_400, 2)
    return RoleStatus(
        role, version, expires.isoformat(), left, threshold, tuple(keys), tuple(held),
        len(held) >= threshold,
    )  # fmt: skip


def warning(role: RoleStatus) -> str | None:
    """Return what to say of a role that needs somebody, ``None`` for one that does not."""
    if not role.due:
        return None
    what = (
        f"expired {role.expires[:10]}: devices serve what they have and take nothing new"
        if role.days_left <= 0
        else f"expires in {int(role.days_left)} days, on {role.expires[:10]}"
    )
    how = (
        "the hub renews it once it may sign"
        if role.renews
        else f"the hub holds {len(role.held)} of the {role.threshold} keys that it takes: "
        "edge-hub keys export, then sign, then import"
    )
    return f"{role.role} {what}; {how}"
