"""Stored features as rows of batch jobs, one for each entity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.features.store import FeatureStore

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_hub.features.set_history import SetHistory

ROWS: Final = 20_000
JOINED: Final = 500_000
"""Entities that are joined at once: what is held in memory beside the index of a set."""


class StoredEntities:
    """The features of entities in a hub's data.

    Args:
        data: folder of the hub.
        snapshot: folder with the history of a model's sets, if it has any; see snapshot.py.
    """

    def __init__(self, data: Path, snapshot: Path | None = None) -> None:
        self._store = FeatureStore(data / "features.db")
        self._snapshot = snapshot

    def entities(self, model: str, kind: str, as_of: float) -> Iterator[pa.RecordBatch]:
        """Yield every entity with its features.

        Declared sets know what serving had at a moment, with the defaults where one of them had
        nothing; of features that were put by hand there are the newest values only.

        Args:
            model: for which features are stored.
            kind: of the entities: what the sets declare as ``entity``.
            as_of: Unix seconds.

        Raises:
            NotFound: the model has no features.
            Invalid: its sets are of another kind of entity.
            HubFault: a file of history cannot be read.
        """
        import pyarrow as pa

        from cloud_hub.features.snapshot import read_snapshot

        histories = read_snapshot(self._snapshot) if self._snapshot is not None else ()
        if histories:
            yield from _as_they_were(histories, kind, as_of)
            return
        table = self._store.table(model)
        if table is None:
            raise NotFound(f"source: {model} has no stored features; see edge-hub features")
        for start in range(0, len(table.entities), ROWS):
            end = start + ROWS
            columns = {name: _column(v[start:end]) for name, v in table.columns.items()}
            yield pa.RecordBatch.from_pydict({"entity": list(table.entities[start:end]), **columns})

    def row(
        self, model: str, kind: str | None, entity: str, columns: Sequence[str]
    ) -> dict[str, Any] | None:
        """Return some features of one entity, defaults filled in; ``None`` unless all have one.

        Args:
            model: for which features are stored.
            kind: of the entity.
            entity: its name; it may be unknown.
            columns: names of features.
        """
        info = self._store.info(model)
        if info is None or not set(columns) <= set(info.defaults):
            return None
        values = {**info.defaults, **(self._store.row(model, entity) or {})}
        return {name: values[name] for name in columns}


def _as_they_were(
    histories: Sequence[SetHistory], kind: str, as_of: float
) -> Iterator[pa.RecordBatch]:
    """Yield the entities that had a row in some set at a moment, with the features of all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from cloud_hub.features.joining import AGE
    from cloud_hub.features.online import entities_in, newest_rows

    declared = sorted({history.declared.entity for history in histories})
    if declared != [kind]:
        raise Invalid(f"source: entities: expected {declared[0]}, as the sets declare, got {kind}")
    names = entities_in(histories)
    for start in range(0, len(names), JOINED):
        table = newest_rows(histories, names[start : start + JOINED], as_of).table
        known = pa.repeat(False, table.num_rows)
        for history in histories:
            known = pc.or_(known, pc.is_valid(table[f"{history.declared.name}{AGE}"]))
        columns = ["entity" if name == kind else name for name in table.column_names]
        yield from table.rename_columns(columns).filter(known).to_batches(ROWS)


def _column(values: Sequence[Any]) -> pa.Array:
    """Return stored values as numbers if all are, else as texts: CSV has no types."""
    import pyarrow as pa

    try:
        return pa.array([None if v in (None, "") else float(v) for v in values], pa.float64())
    except ValueError:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
