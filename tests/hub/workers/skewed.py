"""``edge-hub serve`` with a clock that is off: ``SECONDS`` and its arguments."""

from __future__ import annotations

import sys
import time

right = time.time

if __name__ == "__main__":
    off = float(sys.argv[1])
    # Before the hub is imported, which names this function in defaults.
    vars(time)["time"] = lambda: right() + off
    from cloud_hub.cli.main import main

    sys.exit(main(["serve", *sys.argv[2:]]))
