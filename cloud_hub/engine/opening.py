"""The engine of a hub's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_hub.engine.local import LocalEngine
from cloud_hub.errors import Invalid
from cloud_hub.settings import EngineSettings

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine


def engine_of(settings: EngineSettings, slots: int = 1) -> Engine:
    """Return an engine; nothing is reached yet.

    Args:
        settings: which, and where.
        slots: items at once of a local one.

    Raises:
        Invalid: Ray without an address.
    """
    if settings.kind == "local":
        return LocalEngine(slots)
    if not settings.address:
        raise Invalid(
            "engine ray: expected the address of a cluster, such as --ray-address HOST:6379"
        )
    from cloud_hub.engine.ray_engine import RayEngine

    return RayEngine(settings.address)
