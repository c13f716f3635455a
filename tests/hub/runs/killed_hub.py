"""A hub that is killed in a run: ``python -m tests.hub.runs.killed_hub FOLDER URL WORD…``

It asks for a run of ``demo`` and goes on with it until it is about to execute an SQL statement that
has every WORD in it or among its values. The system's SIGKILL leaves it no time for anything.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import event

from cloud_hub.hub import open_hub
from cloud_hub.runs.store import RunCause
from cloud_hub.settings import Settings


def main(folder: str, url: str, *words: str) -> None:
    hub = open_hub(Settings(Path(folder), url or None, tick_seconds=0))

    def kill(_: Any, __: Any, statement: str, values: Any, ___: Any, ____: bool) -> None:
        text = f"{statement} {values}"
        if all(word in text for word in words):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(hub.engine, "before_cursor_execute", kill)
    hub.runs.request("demo", RunCause("manual"))
    while hub.runs.records("demo")[-1].status in ("waiting", "training"):
        hub.runs.tick(time.time())
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
