"""The files of what answers for a model: read again, and what is damaged said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.model.release import Release
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.sessions.session_store import SessionStore


class FileCheck:
    """Methods of the releases of a model that look after their files."""

    entities: EntityPredictions | None
    sessions: SessionStore | None

    def _answering(self) -> Iterator[Predictor]:
        raise NotImplementedError

    def check_files(self) -> None:
        """Read some more of the files of what answers; store what changed of sessions."""
        if self.sessions is not None:
            self.sessions.step()
        for file in (self.entities, *(serving.scrub for serving in self._answering())):
            if file is not None:
                file.step()

    def damage(self) -> dict[str, dict[str, str]]:
        """Return what is damaged on the disk, by version and file."""
        found = {s.release.manifest.version: s.scrub.damage for s in self._answering()}
        return {version: files for version, files in found.items() if files}

    def new_damage(self) -> Iterator[tuple[Release, str]]:
        """Yield releases with a file that was found damaged since the last call, and what it is."""
        for serving in self._answering():
            for what in serving.scrub.news().values():
                yield serving.release, what
