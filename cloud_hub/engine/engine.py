"""What every engine promises."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cloud_hub.errors import Invalid


@dataclass(frozen=True)
class IsolatedLimits:
    """Limits of a task that runs code of users, in a process without rights.

    Attributes:
        seconds: that one item may take.
        memory_mb: that it may hold in RAM.
        seed: of the order of Python's sets.
    """

    seconds: float
    memory_mb: int
    seed: int = 0


@dataclass(frozen=True)
class SpreadTask:
    """One function over many items.

    Attributes:
        function: ``module:name`` of a function of this package, which takes ``common`` and an item
            and returns bytes. It must give the same for the same: a lost task is run again.
        common: bytes that all items share; they are sent to a node once.
        isolated: limits of user code that the function calls; ``None`` where it calls none.
        cpus: that a task takes of a node.
        memory_mb: that a task is given on a node; 0: not counted.
    """

    function: str
    common: bytes
    isolated: IsolatedLimits | None = None
    cpus: float = 1.0
    memory_mb: int = 0


class SpreadWork(Protocol):
    """Work that goes on. Results come in the order of the items; to leave early is to cancel."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the result of each item.

        Raises:
            EngineUnavailable: the engine cannot be reached, or went away.
            HubFault: a task failed; says what it said.
        """

    def cancel(self) -> None:
        """End it at once, from any thread; may be repeated."""


class Engine(Protocol):
    """Computes functions over items; ``elsewhere`` says that items travel to other machines."""

    name: str
    elsewhere: bool

    def spread(self, task: SpreadTask, items: Iterable[bytes]) -> SpreadWork:
        """Begin to compute a function over items, which are taken as there is room for them.

        Args:
            task: the function.
            items: as many as there are.
        """

    def problem(self) -> str:
        """Return why nothing can be computed now, in a sentence; empty if nothing is wrong."""


def spread_function(name: str) -> Callable[[bytes, bytes], bytes]:
    """Return the function ``module:name``; raises Invalid unless it is one of this package."""
    module, _, attribute = name.partition(":")
    if module.partition(".")[0] != "cloud_hub" or not attribute:
        raise Invalid(f"engine: expected a function of cloud_hub, got {name}")
    function: Callable[[bytes, bytes], bytes] = getattr(importlib.import_module(module), attribute)
    return function
