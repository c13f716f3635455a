"""Answers by entity, from the name that the application passes to the precomputed prediction.

Invariants:

* An answer whose time is over is not given, whether the device was online since or not.
* A name that cannot be one is refused; a name that is not stored is ``None``, and nothing is
  counted.
* Lookups take no lock, and go on with the pack that they began with if it is replaced meanwhile.

The steps are in one function for speed, as in :mod:`edge_sdk.serving.fast_path`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING
from zlib import crc32

from edge_sdk.packs.entity_predictions import PREFIX, entity_bytes

if TYPE_CHECKING:
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.telemetry.monitor import Monitor


class EntityAnswerer:
    """A pack of answers by entity, as one serving release gives and counts them.

    Args:
        pack: opened.
        monitor: records each answer.
        tag: first part of prediction ids.
        clock: function that returns Unix seconds.

    Attributes:
        pack: the same.
        stored: the precomputed prediction of an entity, which is counted; ``None`` if there is
            none that may still be given. Raises InputError for what is no name.
    """

    def __init__(
        self, pack: EntityPredictions, monitor: Monitor, tag: str, clock: Callable[[], float]
    ) -> None:
        self.pack = pack
        self._monitor = monitor
        self._origin = pack.origin(tag, clock, stored=False)
        self._clock = clock
        self.stored = _prepare(pack, monitor, tag, clock)

    def default(self, entity: str) -> Prediction | None:
        """Return the declared answer to an entity that has no other; it is counted.

        Raises:
            InputError: it is no name.
        """
        started = perf_counter_ns()
        entity_bytes(entity)
        prediction = self.pack.default(self._origin)
        if prediction is not None:
            self._monitor.record(None, prediction, None, perf_counter_ns() - started)
        return prediction

    def why_none(self, entity: str) -> str:
        """Say why an entity has no precomputed answer."""
        about, header = self.pack.about, self.pack.pack.header
        if self.pack.expires <= self._clock():
            return f"the answers of generation {about.generation} have expired"
        of = "" if about.share is None else f" for {about.share!r:.60}"
        return f"{entity!r:.60} is none of the {header.count} entities{of} that have an answer here"


def _prepare(
    pack: EntityPredictions, monitor: Monitor, tag: str, clock: Callable[[], float]
) -> Callable[[str], Prediction | None]:
    marks, begin, shift = pack.pack.filter
    find, seed, expires = pack.pack.finder(PREFIX), crc32(PREFIX), pack.expires
    make, record = pack.maker(pack.origin(tag, clock)), monitor.record

    def stored(entity: str) -> Prediction | None:
        started = perf_counter_ns()
        try:
            name = entity.encode() if type(entity) is str else entity_bytes(entity)
        except UnicodeEncodeError:
            name = entity_bytes(entity)  # which refuses it in words
        check = crc32(name, seed)
        if not marks[begin + (check >> shift)] & 1 << (check & 7) or clock() >= expires:
            return None
        entry = find(check, name)
        if entry < 0:
            return None
        prediction = make(entry)
        record(None, prediction, None, perf_counter_ns() - started)
        return prediction

    return stored
