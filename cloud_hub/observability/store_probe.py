"""Whether an artifact store does what it is for: by writing a few bytes and reading them back."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from cloud_hub.errors import HubFault
from cloud_hub.storage.artifact_store import read

if TYPE_CHECKING:
    from cloud_hub.storage.artifact_store import ArtifactStore


def probe_store(store: ArtifactStore, name: str) -> None:
    """Write an artifact, read it back and delete it.

    Args:
        store: to try.
        name: under which, alone.

    Raises:
        HubFault: it holds something else than what was written.
        OSError: it cannot be written or read.
    """
    content = secrets.token_bytes(64)
    store.put(name, content, sha256=hashlib.sha256(content).hexdigest())
    try:
        if read(store, name) != content:
            raise HubFault("artifacts: what was written is not what is read back")
    finally:
        store.delete(name)
