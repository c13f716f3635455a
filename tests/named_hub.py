"""``edge-hub serve`` with the same names of devices in every run: ``SEED`` and its arguments.

A name settles by its hash on which arm of an experiment a device is. Of trainings it waits longer
for a first sign than it does for people. In all else it is the hub.
"""

from __future__ import annotations

import random
import secrets
import sys
from types import SimpleNamespace

from cloud_hub.cli.main import main
from cloud_hub.fleet import service
from cloud_hub.runs import entry_point, pipeline
from tests.waiting import PATIENCE


def names(seed: int) -> SimpleNamespace:
    """In place of :mod:`secrets`: names are drawn with ``seed``, tokens are not."""
    seeded = random.Random(seed)
    return SimpleNamespace(
        token_hex=lambda size: seeded.randbytes(size).hex(), token_urlsafe=secrets.token_urlsafe
    )


if __name__ == "__main__":
    seed, *words = sys.argv[1:]
    service.secrets = names(int(seed))  # type: ignore[attr-defined]
    entry_point.IMPORT_SECONDS = pipeline.ANSWER_SECONDS = PATIENCE  # type: ignore[misc]
    sys.exit(main(["serve", *words]))
