"""A start without work that nobody needs, and a process that does not go through all of it again.

Python looks for garbage while modules are imported, and finds none: a tenth of the time until a hub
is ready. Later it would go through everything that a hub has imported each time it looks through
old objects, and all requests would wait for that: tenths of a second, every few thousand answers.

Gates and monitoring compute with many small matrices. On more than one thread that takes twice the
processor time, and ends no sooner.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

UNUSED: Final = ("boto3", "email_validator", "pydantic.v1")
"""Libraries that others load where they are installed, and that no part of a hub uses.

securesystemslib has boto3 for keys in a cloud: it takes 10 MB and a quarter of a second. FastAPI
has the others for models of kinds that no route of a hub has: 3 MB.
"""

YOUNG: Final = 10_000
"""New objects, more than went, after which Python looks through the young ones. Its own 700 are
those of a few requests, which have no cycles."""

BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables by which whoever starts a hub says how many threads NumPy and SciPy compute on."""


def use_one_blas_thread() -> None:
    """Have NumPy and SciPy compute on one thread, unless the environment says on how many.

    To be called before they are imported. Trainings are not concerned: workers do not see this
    variable (:mod:`cloud_hub.isolation.workers`), which OpenBLAS, in the wheels of both, looks at.
    """
    if not any(name in os.environ for name in BLAS_THREADS):
        os.environ.setdefault("OPENBLAS_DEFAULT_NUM_THREADS", "1")


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import within the block without looking for garbage, and without :data:`UNUSED`.

    Until :func:`keep_what_is_there` nobody looks for garbage.
    """
    gc.disable()
    absent = [name for name in UNUSED if name not in sys.modules]
    try:
        for name in absent:
            sys.modules[name] = None  # type: ignore[assignment]  # so Python says: not installed
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def keep_what_is_there() -> None:
    """Look for garbage from now on, and never again among what there is by now."""
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    gc.enable()
