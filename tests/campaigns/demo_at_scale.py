"""``make demo-scale``: the demo as it is, on PostgreSQL, a bucket and Ray on this machine.

The servers listen on this machine alone and end with the demo. What is different for the demo is
its environment, and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys

import pytest

from tests.buckets import CREDENTIALS, running_server
from tests.postgres import running_cluster
from tests.ray_cluster import two_nodes


def main() -> int:
    """Start the servers and run the demo on them; return its exit status."""
    if importlib.util.find_spec("ray") is None:
        print("expected Ray: pip install 'edge-deployment-sdk[ray]'", file=sys.stderr)
        return 1
    try:
        with contextlib.ExitStack() as stack:
            cluster = stack.enter_context(contextlib.contextmanager(running_cluster)())
            bucket = stack.enter_context(contextlib.contextmanager(running_server)())
            words = {
                "HUB_DATABASE_URL": cluster.database(),
                "HUB_ARTIFACTS_URL": bucket.bucket(),
                "HUB_ENGINE": "ray",
                "HUB_RAY_ADDRESS": stack.enter_context(two_nodes()).address,
                **CREDENTIALS,
            }
            for name, value in words.items():
                print(f"{name}={value}", flush=True)
            demo = [sys.executable, "-m", "examples.digits.demo"]
            return subprocess.run(demo, env={**os.environ, **words}, check=False).returncode
    except pytest.skip.Exception as missing:
        print(missing, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
