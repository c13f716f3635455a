"""A task on a node: its versions compared, then computed, here or in an isolated process."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from cloud_hub import errors
from cloud_hub.engine.engine import IsolatedLimits, spread_function
from cloud_hub.engine.versions import code_versions, version_problem
from cloud_hub.errors import HubFault
from edge_sdk.contract.codec import decode
from edge_sdk.contract.errors import EdgeError

LIMIT = 1 << 20


@dataclass(frozen=True)
class DriverOrder:
    """What a driver is told, and each task.

    Attributes:
        address: of the cluster.
        function: see :class:`cloud_hub.engine.engine.SpreadTask`, as the next three.
        isolated: limits of code of users.
        cpus: of a node.
        memory_mb: of a node.
        versions: of the hub, see :func:`code_versions`.
    """

    address: str
    function: str
    isolated: IsolatedLimits | None
    cpus: float
    memory_mb: int
    versions: dict[str, str]


def compute_item(order: bytes, common: bytes, item: bytes) -> tuple[str, bytes]:
    """Compute one item; see :func:`cloud_hub.engine.ray_task.run_task`."""
    told = decode(DriverOrder, order, limit=LIMIT)
    problem = version_problem(told.versions, code_versions(), platform.node())
    if problem:
        return "HubFault", problem.encode()
    try:
        if told.isolated is not None:
            from cloud_hub.engine.isolated import compute_isolated

            return "result", compute_isolated(told.function, common, item, told.isolated)
        return "result", spread_function(told.function)(common, item)
    except HubFault as error:
        return type(error).__name__, str(error).encode()
    except (EdgeError, OSError, MemoryError) as error:
        text = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)
        return "HubFault", (text or repr(error)).encode()


def fault_of(kind: str, message: str) -> HubFault:
    """Return the error that a task told of, of the class that it had."""
    found = getattr(errors, kind, HubFault)
    plain = (errors.Invalid, errors.NotFound, errors.Conflict, errors.TooLarge)
    return found(message) if found in plain else HubFault(message)
