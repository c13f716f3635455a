"""A hub that was moved away: its old folder refuses to be served, or there would be two of one
identity, each publishing plans that devices of the other one refuse.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from cloud_hub.errors import Conflict
from edge_sdk.system.files import write_atomic

MOVED_FILE: Final = "moved.json"


def note_moved(data: Path, to: Path, *, done: bool) -> None:
    """Keep a folder from being served from now on.

    Args:
        data: of the hub as it was.
        to: where it is now.
        done: false while it is about to be there.
    """
    note = {"to": str(to.absolute()), "at": time.time(), "done": done}
    write_atomic(data / MOVED_FILE, json.dumps(note).encode())


def check_not_moved(data: Path) -> None:
    """Raise Conflict if the hub of a folder was moved away, or is being moved."""
    path = data / MOVED_FILE
    try:
        note: Any = json.loads(path.read_bytes())
        to, done = note["to"], note["done"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        to, done = "another place", True
    if done:
        raise Conflict(
            f"{data}: this hub was moved to {to}; serve it there. Two hubs of one identity lock "
            f"devices out: only if the other one is gone for good, remove {path}"
        )
    raise Conflict(
        f"{data}: a move of this hub to {to} was interrupted; run it again, or, if {to} is not "
        f"there, remove {path}"
    )
