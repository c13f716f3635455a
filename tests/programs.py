"""The three programs and Python by the names that pages call them by."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.structure import ROOT

MODULES: Final = {
    "edge": "edge_sdk.cli.main",
    "edge-hub": "cloud_hub.cli.main",
    "edge-convert": "converters.cli.main",
}


def programs_in(folder: Path) -> Mapping[str, str]:
    """Write the programs into a folder, and return an environment in which they are found."""
    folder.mkdir()
    commands = {name: f"-m {module}" for name, module in MODULES.items()} | {"python": ""}
    for name, words in commands.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
