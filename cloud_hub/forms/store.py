"""The patches that were made, and the index of each release or pack that devices read.

Layout of the store: ``<key>/index.json`` and ``<key>/<sha256 of the patch>``. A patch is there
before the index names it, and goes after the index: a device never reads of one that is missing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import NotFound
from cloud_hub.storage.artifact_store import chunks_of, read
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.patch import FORMS, Form, FormIndex

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloud_hub.storage.artifact_store import ArtifactStore

INDEX: Final = "index.json"


class FormStore:
    """Patches in an artifact store.

    Args:
        store: holds them.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.artifacts = store

    def raw_index(self, key: str) -> bytes:
        """Return the index of a release or pack as devices read it; raises NotFound."""
        return read(self.artifacts, f"{key}/{INDEX}")

    def index(self, key: str) -> FormIndex:
        """Return the index of a release or pack; an empty one if there is none."""
        try:
            return FormIndex.from_json(self.raw_index(key))
        except (NotFound, ContractError):
            return FormIndex({})

    def add(self, key: str, result: str, base: str | None, patch: Path) -> None:
        """Store a patch and name it in the index.

        Args:
            key: of the index.
            result: SHA-256 of what the patch makes.
            base: SHA-256 of what it makes it of, if it does.
            patch: its file.
        """
        digest = hashlib.sha256()
        for chunk in chunks_of(patch):
            digest.update(chunk)
        form = Form(FileRef(patch.stat().st_size, digest.hexdigest()), base)
        self.artifacts.put(f"{key}/{form.file.sha256}", patch, sha256=form.file.sha256)
        index = self.index(key).forms
        others = tuple(other for other in index.get(result, ()) if other.base != base)
        changed = {**index, result: (*others, form)[-FORMS:]}
        self.artifacts.put(f"{key}/{INDEX}", FormIndex(changed).to_json())

    def keep(self, keys: Collection[str]) -> None:
        """Remove everything of all other releases and packs."""
        names = [name for name in self.artifacts.list() if name.split("/")[0] not in keys]
        for name in sorted(names, key=lambda name: not name.endswith(f"/{INDEX}")):
            self.artifacts.delete(name)
