"""The client that ``edge-hub`` and scripts use to ask a hub over HTTP."""

from cloud_hub.client.admin import AdminClient

__all__ = ["AdminClient"]
