"""The client with which ``edge-hub`` and scripts ask a hub over HTTP."""

from cloud_hub.client.admin import AdminClient

__all__ = ["AdminClient"]
