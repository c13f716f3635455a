"""The hub's own care for its keys, in its loop: it renews, warns once a day, and notes changes."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloud_hub.registry.keys.status import WARN_DAYS, warning

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.registry.keys.service import Keys
    from cloud_hub.registry.repository import Repository

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
"""From one look at all roles to the next."""

DAY_SECONDS: Final = 86_400.0


class KeyWatch:
    """One tick of the loop.

    Args:
        repository: whose metadata is renewed.
        keys: of it.
        audit: where new roots and targets are noted.
        on_change: called after keys have changed: plans that a stolen key signed are dropped, and
            the hub's own have to be published again.
    """

    def __init__(
        self, repository: Repository, keys: Keys, audit: Audit, on_change: Callable[[], object]
    ) -> None:
        self._repository = repository
        self._keys = keys
        self._audit = audit
        self._on_change = on_change
        self._seen = self._versions()
        self._look_at = 0.0
        self._warned: dict[str, tuple[float, int]] = {}

    def tick(self, now: float) -> None:
        """Renew what is due; then look whether somebody must be told.

        Args:
            now: Unix seconds.

        Raises:
            Conflict: the clock cannot be believed; told first, since nothing is signed.
        """
        try:
            self._repository.renew(datetime.datetime.fromtimestamp(now, datetime.UTC))
        finally:
            if self._has_changed() or not 0 <= now - self._look_at < LOOK_SECONDS:
                self._look_at = now
                self._tell(now)
                self._note_changes()

    def _tell(self, now: float) -> None:
        """Log once a day what needs somebody, and at once when it grows more urgent."""
        for role in self._keys.status().roles:
            text = warning(role)
            if text is None:
                self._warned.pop(role.role, None)
                continue
            urgency = sum(role.days_left <= days for days in (*WARN_DAYS, 0))
            at, before = self._warned.get(role.role, (0.0, 0))
            if urgency > before or now - at >= DAY_SECONDS:
                log.log(logging.ERROR if urgency > 2 else logging.WARNING, "keys: %s", text)
                self._warned[role.role] = (now, urgency)

    def _has_changed(self) -> bool:
        files = self._repository.files
        return any(files.exists(f"{v + 1}.{role}.json") for role, v in self._seen.items())

    def _versions(self) -> dict[str, int]:
        return {role: self._repository.files.version(role) for role in ("root", "targets")}

    def _note_changes(self) -> None:
        """Audit a root or targets that came into force, by whatever process."""
        versions = self._versions()
        if versions != self._seen:
            self._on_change()
            self._seen = versions
        if max(versions.values()) == 1:  # as it was made
            return
        noted = self._audit.entries(limit=1, action="keys")
        if noted and noted[-1].detail.get("versions") == versions:
            return
        roles = {r.role: list(r.keys) for r in self._keys.status().roles}
        self._audit.record("hub", "keys", None, {"versions": versions, "keys": roles})
