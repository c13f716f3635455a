"""Devices that joined long before the windows that a test has them report."""

from __future__ import annotations

from sqlalchemy import update

from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub


def long_ago(hub: Hub) -> None:
    """Have every device joined in 1970: it may report windows of any time since."""
    with hub.engine.begin() as db:
        db.execute(update(devices).values(enrolled_at=0.0))
