"""Stored features as rows of batch jobs, one for each entity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import NotFound
from cloud_hub.features.store import FeatureStore

if TYPE_CHECKING:
    import pyarrow as pa

ROWS: Final = 20_000


class StoredEntities:
    """The features of entities in a hub's data.

    Args:
        data: folder of the hub.
    """

    def __init__(self, data: Path) -> None:
        self._store = FeatureStore(data / "features.db")

    def entities(self, model: str, kind: str, as_of: float) -> Iterator[pa.RecordBatch]:
        """Yield every entity with its features.

        Args:
            model: for which features are stored.
            kind: of the entities; this store has one kind for each model.
            as_of: Unix seconds; this store knows the newest values only.

        Raises:
            NotFound: the model has no features.
        """
        import pyarrow as pa

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


def _column(values: Sequence[Any]) -> pa.Array:
    """Return stored values as numbers if all are, else as texts: CSV has no types."""
    import pyarrow as pa

    try:
        return pa.array([None if v in (None, "") else float(v) for v in values], pa.float64())
    except ValueError:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
