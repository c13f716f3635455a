"""A hub starts without libraries that it does not use, and what it has loaded is no garbage."""

from __future__ import annotations

import subprocess
import sys

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
