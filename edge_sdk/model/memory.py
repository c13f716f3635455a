"""The memory that the models of one device share: the least recently used are unloaded.

Invariants:

* A call of a model that was unloaded loads it again, its bytes checked, and waits for that; it
  fails only if that does. Calls of models that are loaded wait for nothing and cost nothing more.
* What runs on a model that is unloaded meanwhile ends with it in memory.
* One model alone may take more than the limit: the device goes on with that one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from edge_sdk.model.session import Model


class ModelMemory:
    """Which of a device's models are loaded, in the order of their last use.

    Args:
        limit: bytes of model files that may be loaded; 0 for all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # A dictionary keeps its order: what was used last stands last.
        self._loaded: WeakKeyDictionary[Model, int] = WeakKeyDictionary()
        self._seen: WeakKeyDictionary[object, object] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def loaded(self, model: Model, size: int) -> None:
        """Note that a model was loaded, and unload others until all fit.

        Args:
            model: that is used now.
            size: bytes of its file.
        """
        with self._lock:
            self._touch(model, size)
            gone = self._surplus(model) if self.limit else []
            for other in gone:
                del self._loaded[other]
        # Not under the lock: one that is being loaded elsewhere is waited for.
        for other in gone:
            other.unload()

    def note(self, activities: Iterable[tuple[object, Model, object]]) -> None:
        """Note which models have answered: they are unloaded after those that have not since.

        Args:
            activities: who asks a model, the model, and what differs once it has been asked.
        """
        with self._lock:
            for who, model, activity in activities:
                size = self._loaded.get(model)
                if size is not None and self._seen.get(who) != activity:
                    self._touch(model, size)
                self._seen[who] = activity

    def status(self) -> dict[str, int]:
        """Return how many models are loaded, the bytes of their files, and the limit (0: none)."""
        with self._lock:
            sizes = list(self._loaded.values())
        return {"loaded": len(sizes), "bytes": sum(sizes), "limit": self.limit}

    def _touch(self, model: Model, size: int) -> None:
        self._loaded.pop(model, None)
        self._loaded[model] = size

    def _surplus(self, newest: Model) -> list[Model]:
        """Return the models to unload, the least recently used first."""
        total, gone = sum(self._loaded.values()), []
        for model, size in list(self._loaded.items()):
            if total <= self.limit:
                break
            if model is not newest:
                gone.append(model)
                total -= size
        return gone
