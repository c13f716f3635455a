"""The isolated process of a task: ``python -m cloud_hub.engine.child FUNCTION``, in its folder.

Reads ``common`` and ``item``, writes ``result`` or ``fault``: what the function returned or why it
could not.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Final

from cloud_hub.engine.engine import spread_function
from cloud_hub.errors import HubFault

COMMON, ITEM, RESULT, FAULT = "common", "item", "result", "fault"
REASON: Final = 2_000
"""Characters of a fault."""


def main(function: str) -> int:
    """Compute the item of this folder."""
    folder = Path.cwd()
    try:
        done = spread_function(function)(
            (folder / COMMON).read_bytes(), (folder / ITEM).read_bytes()
        )
        (folder / RESULT).write_bytes(done)
    except HubFault as error:
        (folder / FAULT).write_text(f"{type(error).__name__} {error}"[:REASON])
    except BaseException as error:  # whatever code of users raises
        traceback.print_exc()
        (folder / FAULT).write_text(f"HubFault {type(error).__name__}: {error}"[:REASON])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
