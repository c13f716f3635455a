"""Functions that make rows of a set, as users would write them, good ones and bad ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GOOD = {"user_id": ["a", "b"], "f0": [1.0, 2.0], "f2": [3.0, 4.0]}


def orders(as_of: datetime) -> dict[str, Any]:
    return {"user_id": ["a", "b"], "f0": [as_of.timestamp() % 10, 2.0], "f2": [3.0, 4.0]}


def broken(as_of: datetime) -> dict[str, Any]:
    raise RuntimeError("no orders today")


def broken_at_length(as_of: datetime) -> dict[str, Any]:
    raise RuntimeError("🙈" * 5_000 + "\udcff")


def hangs(as_of: datetime) -> dict[str, Any]:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)
    return GOOD


def leaves(as_of: datetime) -> dict[str, Any]:
    os._exit(3)


def exits(as_of: datetime) -> dict[str, Any]:
    sys.exit("enough")


def returns_a_model(as_of: datetime) -> Any:
    return object()


def links(as_of: datetime) -> dict[str, Any]:
    """Leave a link to somebody else's file in the place of rows."""
    Path("rows.parquet").symlink_to("/etc/passwd")
    os._exit(0)


def promises(as_of: datetime) -> dict[str, Any]:
    """Leave a small file of rows that no memory holds."""
    text = pa.array(["x" * (1 << 20)])
    user = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), text)
    pq.write_table(pa.table({"user_id": user}), "rows.parquet", row_group_size=1_000)
    os._exit(0)


def writes_elsewhere(as_of: datetime) -> dict[str, Any]:
    """Say in its rows how many of the places of others it could write to or read."""
    hub = Path(os.environ["FEATURES_HUB"])
    done = 0
    for path in (hub / "pwned", hub.parent / "pwned", Path(__file__).parent / "pwned"):
        try:
            path.write_text("x")
            done += 1
        except OSError:
            continue
    try:
        (hub / "admin.token").read_text()
        done += 1
    except OSError:
        pass
    Path("mine").write_text("in its own folder it may")
    return GOOD | {"f0": [float(done), 0.0]}
