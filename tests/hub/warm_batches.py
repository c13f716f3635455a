"""Workers of batch jobs without the start of Python; see :mod:`tests.processes.ready`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any

from tests.processes.ready import ReadyProcess


class WarmBatches:
    """Stands in for the module ``subprocess`` in :mod:`cloud_hub.batch.workers`."""

    PIPE = subprocess.PIPE

    @staticmethod
    def Popen(  # noqa: N802 - the name of what it stands in for
        command: Sequence[str], *, stdin: int, stdout: IO[bytes], stderr: IO[bytes], **_: Any
    ) -> ReadyProcess:
        """Start a worker, whose standard input is a pipe."""
        python, safe_path, *words = command
        assert (python, safe_path, stdin) == (sys.executable, "-P", subprocess.PIPE)
        read, write = os.pipe()
        try:
            process = ReadyProcess("hub", words, stdin=read, stdout=stdout, stderr=stderr)
        finally:
            os.close(read)
        process.stdin = os.fdopen(write, "wb")  # type: ignore[attr-defined]
        return process
