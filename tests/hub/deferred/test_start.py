"""A hub starts without libraries that it does not use, and what it has loaded is no garbage.

It computes on one thread, unless whoever starts it says otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.waiting import PATIENCE

STARTED = """
import gc, importlib.util, sys
from cloud_hub.deferred.start import UNUSED, keep_what_is_there, quick_imports

with quick_imports():
    import cloud_hub.server
    assert not gc.isenabled()
loaded = [name for name in UNUSED if name in sys.modules]
assert not loaded, loaded
for name in UNUSED:
    importlib.util.find_spec(name)  # where it is installed, whoever wants it still gets it
keep_what_is_there()
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000 > len(gc.get_objects())
"""


def test_a_hub_loads_nothing_unused_and_never_looks_for_garbage_in_its_own_modules() -> None:
    subprocess.run([sys.executable, "-c", STARTED], check=True, timeout=PATIENCE)


COMPUTING = """
from pathlib import Path
from cloud_hub.cli.server import _imported_server
from cloud_hub.isolation.workers import Workers

_imported_server()
import threadpoolctl
import scipy.linalg  # brings a library of matrices of its own, when something first needs it

print(*{pool["num_threads"] for pool in threadpoolctl.threadpool_info()})
seen = Workers(Path("data"))._environment(Path("work"), 0)
print(*sorted(name for name in seen if "THREADS" in name))
"""


@pytest.mark.parametrize(
    ("given", "threads", "workers"),
    [
        pytest.param({}, "1", "", id="nothing said"),
        pytest.param(
            {"OPENBLAS_NUM_THREADS": "2"}, str(min(2, len(os.sched_getaffinity(0)))),
            "OPENBLAS_NUM_THREADS", id="a number said",
        ),
    ],
)  # fmt: skip
def test_a_hub_computes_on_one_thread_unless_told_otherwise_and_its_trainings_as_they_were_told(
    given: dict[str, str], threads: str, workers: str
) -> None:
    plain = {name: value for name, value in os.environ.items() if "THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", COMPUTING], check=True, timeout=PATIENCE, env={**plain, **given},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.stdout == f"{threads}\n{workers}\n"
