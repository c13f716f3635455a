"""Children that tests fork."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def in_a_child(what: Callable[[], object]) -> int:
    """Return the exit status of a forked child that calls ``what``: 1 where that raises."""
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        code = 1
        try:
            what()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
