"""Work on the next items while the caller is busy with the one before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], most: int = 4) -> Iterator[T]:
    """Yield the items, made by a thread of their own; memory holds ``most`` more than one.

    An error of theirs is raised here. A caller that ends early ends the thread with the next item.
    """
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(most)
    stop = threading.Event()

    def make() -> None:
        try:
            for item in items:
                ready.put((True, item))
                if stop.is_set():
                    return
            ready.put((False, None))
        except BaseException as error:
            ready.put((False, error))

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            goes_on, item = ready.get()
            if goes_on:
                yield item
                continue
            if item is not None:
                raise item
            return
    finally:
        stop.set()
        while thread.is_alive():  # it may wait for room
            try:
                ready.get(timeout=0.05)
            except queue.Empty:
                continue
