"""The places on a device for what is learned of one model's units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edge_sdk.update.model_state import ModelState


class UnitPlaces(NamedTuple):
    """Places of one model's units; all ``None`` where they are in memory only.

    Attributes:
        folder: of the file of units.
        secret: folder of the secret with which their names are hashed, which models share.
        state: values of the model in the device's database.
    """

    folder: Path | None = None
    secret: Path | None = None
    state: ModelState | None = None

    @property
    def stored(self) -> bool:
        """Return whether there are units on the disk."""
        return self.folder is not None and (self.folder / "units.db").exists()
