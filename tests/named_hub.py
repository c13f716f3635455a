"""``edge-hub serve`` with the same names of devices in every run: ``SEED`` and its arguments.

The hash of a device's name decides on which arm of an experiment it is. The hub also waits longer
for the first sign of a training than in production, and looks more often for a renewed certificate.
In all else it is the hub itself.
"""

from __future__ import annotations

import random
import secrets
import sys
from types import SimpleNamespace

from cloud_hub import server
from cloud_hub.cli.main import main
from cloud_hub.fleet import service
from cloud_hub.runs import entry_point, pipeline
from tests.waiting import PATIENCE


def names(seed: int) -> SimpleNamespace:
    """Stand in for :mod:`secrets`: names are drawn with ``seed``, tokens are random."""
    seeded = random.Random(seed)
    return SimpleNamespace(
        token_hex=lambda size: seeded.randbytes(size).hex(), token_urlsafe=secrets.token_urlsafe
    )


if __name__ == "__main__":
    seed, *words = sys.argv[1:]
    service.secrets = names(int(seed))  # type: ignore[attr-defined]
    entry_point.IMPORT_SECONDS = pipeline.ANSWER_SECONDS = PATIENCE  # type: ignore[misc]
    server.LOOK_SECONDS = 0.2  # type: ignore[attr-defined,misc]
    sys.exit(main(["serve", *words]))
