"""The place of a model's releases and packs in a device's state folder."""

from __future__ import annotations

from pathlib import Path


def model_folder(state: Path) -> Path:
    """Return the folder of the only model of the device that has ``state``."""
    (folder,) = (state / "models").iterdir()
    return folder
