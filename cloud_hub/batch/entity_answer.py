"""The answer to one entity, as the hub gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cloud_hub.batch.record import GenerationRecord
    from cloud_hub.database.documents import Document

Source = Literal["batch", "model", "default", "none"]


@dataclass(frozen=True)
class EntityAnswer:
    """The answer to one entity.

    Attributes:
        entity: its name.
        job: that answers it.
        source: ``batch`` (precomputed), ``model`` (computed now, from stored features),
            ``default`` (as the policy declares), or ``none``: there is no answer.
        values: by name, such as ``prediction`` and ``probabilities``, or ``items`` and ``scores``.
        version: that answered, as ``MODEL MAJOR.MINOR``; ``None`` of a default.
        computed_at: Unix seconds; ``None`` of a default.
        valid_until: Unix seconds; ``None`` unless precomputed.
        generation: number of it; ``None`` unless precomputed.
    """

    entity: str
    job: str
    source: Source
    values: Document
    version: str | None = None
    computed_at: float | None = None
    valid_until: float | None = None
    generation: int | None = None

    def document(self) -> Document:
        """Return it as JSON: the values beside the rest."""
        rest = {name: value for name, value in vars(self).items() if name != "values"}
        return {**rest, **self.values}


def precomputed(record: GenerationRecord, entity: str, values: Document) -> EntityAnswer:
    """Return the answer of a generation that is whole."""
    version = f"{record.line} {record.version}"
    times = record.computed_at, record.valid_until
    return EntityAnswer(entity, record.job, "batch", values, version, *times, record.id)
