"""Generations of predictions, for those who read them: packs, exports, look-ups.

A generation that is here is whole, and stays readable for as long as the policy keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch.layout import EntityAnswers, Layout, prediction_of
from cloud_hub.errors import Conflict, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from cloud_hub.batch.catalogue import Catalogue
    from cloud_hub.batch.record import GenerationRecord
    from cloud_hub.batch.stores.store import Store

ROWS: Final = 65_536
RECENT_SECONDS: Final = 1.0


class Generation:
    """Predictions of one job that became visible together.

    Args:
        record: of one that is whole.
        store: that keeps it.

    Attributes:
        record: what the hub knows of it: ``id``, ``version``, ``computed_at``, ``valid_until``.
        layout: its values and attributes.
    """

    def __init__(self, record: GenerationRecord, store: Store) -> None:
        self.record = record
        self.layout: Layout = record.columns
        self._store = store

    def stream(
        self, columns: Sequence[str] | None = None, *, rows: int = ROWS
    ) -> Iterator[EntityAnswers]:
        """Yield all entities with their answers, in the order in which they were stored.

        Args:
            columns: names of values of the layout, such as ``probabilities``; default all.
            rows: at most so many at a time; memory grows with it, and not with the generation.

        Yields:
            ``entities`` (N names), ``columns`` (arrays [N] or [N, M] by value) and ``attributes``
            (N values by name).

        Raises:
            Invalid: there is no such value.
            NotFound: it was dropped meanwhile.
        """
        from cloud_hub.batch.rows import answered, columns_of

        values = self.layout.named(columns)
        place, needed = self.record.place, columns_of(self.layout, values)
        for batch in self._store.read(place, self.layout, needed, rows):
            yield answered(self.layout, batch, values)

    def batches(self, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
        """Yield all rows as the table has them, at most ``rows`` at a time."""
        return self._store.read(self.record.place, self.layout, self.layout.columns, rows)

    def file(self) -> Path | None:
        """Return its SQLite file, where it is kept in one."""
        path: Path | None = self._store.file(self.record.place)
        return path

    def find(self, entities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return answers by entity, of those that have one; lists for values of many parts.

        Raises:
            Conflict: its job writes Parquet only.
        """
        rows = self._store.find(self.record.place, entities)
        return {entity: prediction_of(self.layout, row) for entity, row in rows.items()}


class Generations:
    """The generations of every model that are whole.

    Args:
        catalogue: records.
        stores: by the ``output`` of a job.
    """

    def __init__(self, catalogue: Catalogue, stores: Mapping[str, Store]) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._kept: dict[tuple[str, str], tuple[float, Generation | None]] = {}

    def current(self, model: str, job: str) -> Generation | None:
        """Return the generation that answers now; ``None`` until the first is whole."""
        record = self._catalogue.current(model, job)
        return None if record is None else self._opened(record)

    def recent(self, model: str, job: str) -> Generation | None:
        """Return what answered at most a second ago: look-ups come by the thousand a second.

        Another process may have dropped it since; :meth:`Generation.find` then says so.
        """
        now = time.monotonic()
        until, generation = self._kept.get((model, job), (0.0, None))
        if now >= until:
            generation = self.current(model, job)
            self._kept[(model, job)] = (now + RECENT_SECONDS, generation)
        return generation

    def forget(self, model: str, job: str) -> None:
        """Have the next look-up see what is current."""
        self._kept.pop((model, job), None)

    def get(self, id_: int) -> Generation:
        """Return one by its number.

        Raises:
            NotFound: there is none, or it is gone.
            Conflict: it is not whole.
        """
        record = self._catalogue.get(id_)
        if record.status == "dropped":
            raise NotFound(f"generation {id_}: was dropped; {record.reason}")
        if record.status != "whole":
            raise Conflict(f"generation {id_}: is {record.status}; {record.reason}")
        return self._opened(record)

    def of(self, model: str, job: str) -> list[Generation]:
        """Return those that can be read, oldest first."""
        return [self._opened(r) for r in self._catalogue.of(model, job, "whole")]

    def _opened(self, record: GenerationRecord) -> Generation:
        return Generation(record, self._stores[record.output])
