"""What a feature store offers to batch jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class EntitySource(Protocol):
    """Entities with their stored features."""

    def entities(self, model: str, kind: str, as_of: float) -> Iterator[pa.RecordBatch]:
        """Yield every entity of a kind once, with its features as they were at a moment.

        Args:
            model: for which features are stored.
            kind: of the entities, such as ``user``.
            as_of: Unix seconds.

        Yields:
            Batches with the entities' names in the column ``entity``, and a column a feature.

        Raises:
            HubFault: the store has no such entities.
        """

    def row(
        self, model: str, kind: str | None, entity: str, columns: Sequence[str]
    ) -> dict[str, object] | None:
        """Return some features of one entity as they are now, defaults filled in.

        ``None`` unless every column has a value or a default.

        Args:
            model: for which features are stored.
            kind: of the entity; ``None`` where the store has one kind alone.
            entity: its name; it may be unknown.
            columns: names of features.
        """
