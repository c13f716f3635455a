"""``make operate``: operate a fleet by commands, then by pages; every step is kept."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.browser import Tab, chromium
from tests.operation import by_commands, by_pages
from tests.operation.steps import KeptSteps
from tests.servers import HubProcess

WAYS = ("commands", "pages")


def main() -> int:
    """Operate; 0 once everything was as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.operation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/operation"))
    parser.add_argument("ways", nargs="*", default=WAYS, help=f"some of {', '.join(WAYS)}")
    arguments = parser.parse_args()
    for way in arguments.ways:
        shutil.rmtree(arguments.out / way, ignore_errors=True)
        steps = KeptSteps(arguments.out / way)
        with tempfile.TemporaryDirectory(prefix="operation-") as folder:
            _operate(way, Path(folder), steps)
        print(f"{way}: {len(steps.names)} steps in {steps.folder}", flush=True)
    return 0


def _operate(way: str, folder: Path, steps: KeptSteps) -> None:
    # Trainings run as nobody, and read nothing of the hub but what they are given.
    folder.chmod(0o755)
    with contextlib.closing(HubProcess(folder)) as hub:
        if way == "commands":
            by_commands.operate(hub, folder, steps)
            return
        for browser in chromium():
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            by_pages.operate(hub, folder, Tab(context, hub.url, steps.folder), steps)
            context.close()


if __name__ == "__main__":
    sys.exit(main())
