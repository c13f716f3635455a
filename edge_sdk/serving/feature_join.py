"""The stored features of an entity, joined with those that come with the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import InputError

if TYPE_CHECKING:  # a device without stored features starts without them
    from edge_sdk.packs.entity_features import EntityFeatures, JoinedFeatures, StoredFeatures
    from edge_sdk.serving.scrub import Scrub
    from edge_sdk.telemetry.monitor import Monitor


class FeatureJoin:
    """The batch features of one release, if it has some here.

    Args:
        features: by entity, opened for the release; ``None`` for none.
        scrub: knows whether they were damaged.
        monitor: counts what is joined.
        clock: Unix seconds.
    """

    def __init__(
        self,
        features: EntityFeatures | None,
        scrub: Scrub,
        monitor: Monitor,
        clock: Callable[[], float],
    ) -> None:
        self._features = features
        self._scrub = scrub
        self._monitor = monitor
        self._clock = clock

    def join(self, entity: str, streaming: Any) -> JoinedFeatures:
        """Return a row of stored and streaming features; raises InputError.

        Args:
            entity: its name.
            streaming: features by column name that come with the call; ``None`` for none.
        """
        if streaming is not None and not isinstance(streaming, Mapping):
            kind = type(streaming).__name__
            raise InputError("shape", f"expected streaming features by column name, got {kind}")
        return self._opened().lookup(entity, {} if streaming is None else streaming)

    def count(self, joined: JoinedFeatures) -> None:
        """Count a row that the model answers: an old value is better than none, but it is told."""
        if not joined.is_stored or joined.stale_at is not None:
            self._monitor.record_joined(joined.stale_at)

    def stored(self, entity: str) -> StoredFeatures:
        """Return what is stored of an entity, and how old it is; raises InputError."""
        return self._opened().stored(entity, self._clock())

    def _opened(self) -> EntityFeatures:
        if self._features is None:
            why = "this device has no batch features"
            if damage := self._scrub.damage.get("features"):
                why = f"its batch features are damaged ({damage})"
            raise InputError("entity", f"{why}: pass the whole row")
        return self._features
