"""The isolated process of a task: ``python -m cloud_hub.engine.child FUNCTION``, in its folder.

Reads ``common`` there once, then items from its standard input until that ends. Of item N it writes
``result-N`` or ``fault-N``, whole: what the function returned or why it could not.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from cloud_hub.engine.engine import spread_function
from cloud_hub.engine.frames import read_frame
from cloud_hub.errors import HubFault

COMMON, RESULT, FAULT = "common", "result-", "fault-"
REASON: Final = 2_000
"""Characters of a fault."""


def main(function: str) -> int:
    """Compute items of this folder's work as they come."""
    items, folder, number = _own_input(), Path.cwd(), 0
    common = (folder / COMMON).read_bytes()
    (folder / COMMON).unlink()  # it may be large, and the folder is on a disk of the node
    while (frame := read_frame(items)) is not None:
        number += 1
        name, content = _computed(function, common, frame[1])
        (folder / "part").write_bytes(content)
        (folder / "part").rename(folder / f"{name}{number}")
        (folder / f"{RESULT}{number - 1}").unlink(missing_ok=True)
    return 0


def _own_input() -> IO[bytes]:
    """Return standard input for items alone: code of users that reads it finds nothing there."""
    own = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return os.fdopen(own, "rb")


def _computed(name: str, common: bytes, item: bytes) -> tuple[str, bytes]:
    try:
        function: Callable[[bytes, bytes], bytes] = spread_function(name)
        return RESULT, function(common, item)
    except HubFault as error:
        return FAULT, f"{type(error).__name__} {error}"[:REASON].encode(errors="replace")
    except BaseException as error:  # whatever code of users raises
        traceback.print_exc()
        text = f"HubFault {type(error).__name__}: {error}"[:REASON]
        return FAULT, text.encode(errors="replace")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
