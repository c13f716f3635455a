"""Answers by entity, from the name that the application passes to the precomputed prediction.

Invariants:

* An answer whose time is over is not given, whether the device was online since or not. A clock
  that says less than when the answers were computed is behind, and counts on from there.
* A name that is not stored is ``None``, and nothing is counted; so is what is no name at all, which
  the default and the model refuse.
* Lookups take no lock, and go on with the pack that they began with if it is replaced meanwhile.

The steps are in one function for speed, as in :mod:`edge_sdk.serving.fast_path`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING
from zlib import crc32

from edge_sdk.contract.key import DIGEST_BYTES, KEY_BYTES
from edge_sdk.model.keys import short_sha256
from edge_sdk.packs.entity_names import PREFIX, entity_bytes
from edge_sdk.packs.reader import SOUND
from edge_sdk.telemetry.ring_records import BY_ENTITY

if TYPE_CHECKING:
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.telemetry.monitor import Monitor


class LateClock:
    """A clock that is never before a moment that is known to be over.

    One without a battery starts years ago, and would make answers last for ever. From the known
    moment on it counts as it runs; as soon as it has been set it is believed.

    Args:
        clock: function that returns Unix seconds.
        earliest: Unix seconds; it is later than that.
    """

    def __init__(self, clock: Callable[[], float], earliest: float) -> None:
        self._clock = clock
        self._earliest = earliest
        self._behind = 0.0
        self()  # it counts from now on

    def __call__(self) -> float:
        """Return Unix seconds."""
        now = self._clock()
        if now >= self._earliest:
            return now
        # Set back while it ran: it counts from the known moment once more.
        if now + self._behind < self._earliest:
            self._behind = self._earliest - now
        return now + self._behind


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
            none that may still be given.
    """

    def __init__(
        self, pack: EntityPredictions, monitor: Monitor, tag: str, clock: Callable[[], float]
    ) -> None:
        self.pack = pack
        self._monitor = monitor
        self._clock = LateClock(clock, pack.about.computed_at)
        self._origin = pack.origin(tag, self._clock, stored=False)
        monitor.by_entity.use(pack.about.classes, several=pack.several)
        self.stored = _prepare(pack, monitor, tag, clock, self._clock)

    def default(self, entity: str) -> Prediction | None:
        """Return the declared answer to an entity that has no other; it is counted.

        Raises:
            InputError: it is no name.
        """
        started = perf_counter_ns()
        entity_bytes(entity)
        prediction = self.pack.default(self._origin)
        if prediction is not None:
            self._monitor.record(BY_ENTITY, prediction, None, perf_counter_ns() - started)
        return prediction

    def why_none(self, entity: str) -> str:
        """Say why an entity has no precomputed answer."""
        about, header = self.pack.about, self.pack.pack.header
        if self.pack.expires <= self._clock():
            return f"the answers of generation {about.generation} have expired"
        if self.pack.pack.damage is not None:
            return f"the answers of generation {about.generation} are damaged on the disk"
        of = "" if about.share is None else f" for {about.share!r:.60}"
        return f"{entity!r:.60} is none of the {header.count} entities{of} that have an answer here"


def _prepare(
    pack: EntityPredictions,
    monitor: Monitor,
    tag: str,
    clock: Callable[[], float],
    late: LateClock,
) -> Callable[[str], Prediction | None]:
    # Everything that the closure needs is a local variable: cheaper than an attribute look-up.
    marks, begin, shift = pack.pack.filter
    find, keys, directory, bucket_shift, blocks, block_shift = pack.pack.search
    prefix, seed, sha256 = PREFIX, crc32(PREFIX), short_sha256()
    size, digest_bytes = KEY_BYTES, DIGEST_BYTES
    computed_at, expires = pack.about.computed_at, pack.expires
    make, record, no_row = pack.maker(pack.origin(tag, late)), monitor.record, BY_ENTITY

    def stored(entity: str) -> Prediction | None:
        started = perf_counter_ns()
        try:
            name = entity.encode()
            check = crc32(name, seed)
        except (AttributeError, TypeError, UnicodeEncodeError):
            return None
        if not marks[begin + (check >> shift)] & 1 << (check & 7):
            return None
        if not computed_at <= clock() < expires and late() >= expires:
            return None
        key = check.to_bytes(4, "big") + sha256(prefix + name).digest()[:digest_bytes]
        bucket = check >> bucket_shift
        at = find(key, keys + size * directory[bucket], keys + size * directory[bucket + 1]) - keys
        if blocks[check >> block_shift] == SOUND and (at < 0 or not at % size):
            entry = at // size
        else:
            # The block is touched for the first time, and what is not found there may be damaged;
            # or the match lies across two keys.
            entry = pack.pack.find(key)
        if entry < 0:
            return None
        prediction = make(entry)
        record(no_row, prediction, None, perf_counter_ns() - started)
        return prediction

    return stored
