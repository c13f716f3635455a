"""Which release answers for a model, and what it is asked as, kept in memory for a moment.

What a policy or plan says is read from the database at most once in :data:`RECENT_SECONDS`, not for
each row: another cloud model takes over that much later at most, in each process of the hub.
Versions never change, so their manifests are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_hub.errors import NotFound

if TYPE_CHECKING:
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.model.release import Release

RECENT_SECONDS: Final = 1.0
MOST_MANIFESTS: Final = 1_000


class _Seen(NamedTuple):
    """A release, and the monotonic second until which it is the one."""

    release: Release
    until: float


class CloudLines:
    """Cloud lines of models.

    Args:
        registry: versions and policies.
        plans: what serves.
        clock: monotonic seconds.
    """

    def __init__(
        self, registry: Registry, plans: Plans, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._plans, self._clock = registry, plans, clock
        self._seen: dict[str, _Seen] = {}
        self._manifests: dict[tuple[str, str], Manifest] = {}

    def serving(self, model: str) -> Release | None:
        """Return the release of the cloud line that serves ``model`` now, if there is one."""
        cloud = self._registry.policy(model).cloud
        plan = self._plans.current(cloud) if cloud else None
        if cloud is None or plan is None:
            return None
        return self._registry.release(cloud, plan.serving.version)

    def recent(self, model: str) -> Release | None:
        """Return what :meth:`serving` returned a moment ago, from memory alone."""
        seen = self._seen.get(model)
        return seen.release if seen is not None and self._clock() < seen.until else None

    def line(self, model: str) -> Release:
        """Return the release that answers for ``model``; raises NotFound."""
        release = self.recent(model)
        if release is None:
            release = self.serving(model)
            if release is None:
                self._seen.pop(model, None)
                raise NotFound(f"{model}: its policy names no cloud model that serves")
            self._seen[model] = _Seen(release, self._clock() + RECENT_SECONDS)
        return release

    def asking(self, model: str, version: str) -> Manifest:
        """Return the manifest of the version that a device runs; raises NotFound."""
        found = self.known(model, version)
        if found is None:
            if len(self._manifests) >= MOST_MANIFESTS:
                self._manifests.clear()
            found = self._registry.release(model, version).manifest
            self._manifests[model, version] = found
        return found

    def known(self, model: str, version: str) -> Manifest | None:
        """Return that manifest if it is in memory."""
        return self._manifests.get((model, version))
