"""A Ray cluster of two nodes on this machine, each with one core."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TRIES: Final = 5
STORE_BYTES: Final = 80 << 20
ROOT: Final = Path(__file__).parents[1]
PATIENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A loaded machine takes its time; with less, a raylet gives up and takes the cluster along.
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
}
PORTS: Final = (
    "metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)  # fmt: skip
"""Chosen here: for ports that its agents choose, a raylet waits 15 s and then ends."""


class RayNodes:
    """The cluster; ``address`` is its own, as ``ray.init`` takes it."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.second: Any = None
        self.address: str = cluster.address

    def add(self) -> None:
        """Start the second node; on a loaded machine the first raylets give up."""
        for tries in range(TRIES):
            try:
                self.second = self._cluster.add_node(**_node())
                return
            except Exception:
                if tries == TRIES - 1:
                    raise

    def kill_second(self) -> None:
        """End the second node at once, with all that runs on it."""
        self._cluster.remove_node(self.second, allow_graceful=False)
        self.second = None


@contextlib.contextmanager
def two_nodes() -> Iterator[RayNodes]:
    """Give a cluster while a block runs."""
    os.environ |= PATIENT
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    from ray.cluster_utils import Cluster

    with contextlib.ExitStack() as stack:
        nodes = RayNodes(_head(Cluster, stack))
        nodes.add()
        yield nodes


def _head(make: Any, stack: contextlib.ExitStack) -> Any:
    for tries in range(TRIES):
        cluster = make()
        stack.callback(cluster.shutdown)
        try:
            cluster.add_node(**_node(), include_dashboard=False)
            return cluster
        except Exception:
            if tries == TRIES - 1:
                raise
            stack.pop_all().close()
    raise AssertionError


def _node() -> dict[str, Any]:
    return {
        "num_cpus": 1, "object_store_memory": STORE_BYTES,
        **dict(zip(PORTS, _free_ports(len(PORTS)), strict=True)),
    }  # fmt: skip


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in opened]
