"""The process that has a Ray cluster compute one piece of work, for a hub that never loads Ray.

``python -m cloud_hub.engine.ray_driver`` reads an order and items from its standard input and
writes results, in the order of the items, to its standard output. It ends when its input does, and
Ray ends the tasks of a driver that has ended: so a hub that is killed leaves nothing that computes.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import deque
from typing import IO, TYPE_CHECKING, Any, Final

from cloud_hub.engine import frames, ray_task
from cloud_hub.engine.node import LIMIT, DriverOrder
from edge_sdk.contract.codec import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRIES: Final = 3
"""Nodes that a task may lose before it is given up."""

CONNECT_SECONDS: Final = 20
"""Seconds for which Ray looks for its cluster; then it ends the process."""

os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(CONNECT_SECONDS))
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def main() -> int:
    """Do what standard input says; the exit status is 0 even if it cannot be done."""
    told = _own_output()
    read = sys.stdin.buffer
    first, second = frames.read_frame(read), frames.read_frame(read)
    if first is None or second is None:
        return 1
    order = decode(DriverOrder, first[1], limit=LIMIT)
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        text = f"Ray cannot be loaded here ({error}); pip install 'edge-deployment-sdk[ray]'"
        frames.write_frame(told, frames.FAULT, f"HubFault {text}".encode())
        return 0
    problem = _connect(ray, order.address)
    if problem:
        frames.write_frame(told, *problem)
        return 0
    try:
        _compute(ray, order, first[1], second[1], _items(read), told)
    except RayError as error:
        frames.write_frame(told, frames.AWAY, _short(error).encode())
    return 0


def _own_output() -> IO[bytes]:
    """Return standard output for frames alone: what libraries print goes to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb")


def _connect(ray: Any, address: str) -> tuple[bytes, bytes] | None:
    """Connect to a cluster; return the frame that says why it cannot be done, if so."""
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", namespace="edge-hub")
    except (ConnectionError, TimeoutError, OSError) as error:
        text = f"{_short(error)}; start it with ray start --head, or name another --ray-address"
        return frames.AWAY, text.encode()
    except Exception as error:  # other versions of Python or Ray, no node here
        return frames.FAULT, f"HubFault Ray at {address}: {_short(error)}".encode()
    return None


def _items(read: IO[bytes]) -> Iterator[bytes]:
    """Yield items as they come; the process ends with the input, whatever it is at."""
    come: queue.Queue[bytes | None] = queue.Queue(1)

    def read_all() -> None:
        while (frame := frames.read_frame(read)) is not None:
            come.put(frame[1] if frame[0] == frames.ITEM else None)
        os._exit(0)

    threading.Thread(target=read_all, name="input", daemon=True).start()
    while (item := come.get()) is not None:
        yield item


def _compute(
    ray: Any, order: DriverOrder, raw: bytes, common: bytes, items: Iterator[bytes], told: IO[bytes]
) -> None:
    """Have items computed, a few more at once than the cluster has cores, and tell results."""
    refs = deque[Any]()
    ray.cloudpickle.register_pickle_by_value(ray_task)
    memory = {"memory": order.memory_mb << 20} if order.memory_mb else {}
    remote = ray.remote(num_cpus=order.cpus, max_retries=RETRIES, **memory)(ray_task.run_task)
    shared = ray.put(common)
    many = max(2, int(ray.cluster_resources().get("CPU", 1) / order.cpus) + 1)
    for item in items:
        refs.append(remote.remote(raw, shared, item))
        # Few, so that what waits fits into the memory of the nodes.
        while len(refs) >= many:
            if not _tell(ray, refs.popleft(), told):
                return
    while refs:
        if not _tell(ray, refs.popleft(), told):
            return
    frames.write_frame(told, frames.END)


def _tell(ray: Any, ref: Any, told: IO[bytes]) -> bool:
    """Wait for a task and tell what came of it; return whether that was a result."""
    from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

    try:
        kind, content = ray.get(ref)
    except RayTaskError as error:
        kind, content = "HubFault", f"a task on Ray failed; {_short(error.cause)}".encode()
    except (WorkerCrashedError, OutOfMemoryError) as error:
        text = f"a task on Ray was ended {RETRIES + 1} times; {_short(error)}"
        kind, content = "HubFault", text.encode()
    if kind == "result":
        frames.write_frame(told, frames.RESULT, content)
        return True
    frames.write_frame(told, frames.FAULT, kind.encode() + b" " + content)
    return False


def _short(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else repr(error))[:500]


if __name__ == "__main__":
    # Not sys.exit: Ray's own end takes seconds, and whoever reads has what there is.
    status = main()
    sys.stderr.flush()
    os._exit(status)
