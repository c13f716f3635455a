"""Sets of features as a training function has them; it reaches neither hub nor database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.text.spelling import did_you_mean

if TYPE_CHECKING:
    from cloud_hub.features.set_history import SetHistory


@dataclass(frozen=True)
class TrainingFeatures:
    """Sets of one training. ``joined`` are those that it has joined, as ``NAME@N``."""

    histories: tuple[SetHistory, ...] = ()
    joined: set[str] = field(default_factory=set)

    def features(
        self, labels: Any, *, as_of: str, sets: Sequence[str] = (), ages: bool = False
    ) -> Any:
        """Join labels; see :meth:`cloud_hub.runs.context.TrainingContext.features`."""
        import pyarrow as pa

        from cloud_hub.features.joining import join

        chosen = self._named(sets)
        try:
            table = labels if isinstance(labels, pa.Table) else _table(labels)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise Invalid(f"labels: expected columns of one type each; {error}") from error
        done = join(table, chosen, as_of, ages=ages)
        self.joined.update(history.ref for history in chosen)
        frame = done.table.to_pandas()
        # The labels' own index: who puts a column beside them means the same row.
        frame.index = getattr(labels, "index", frame.index)
        return frame

    def _named(self, sets: Sequence[str]) -> list[SetHistory]:
        known = {history.declared.name: history for history in self.histories}
        if not known:
            raise NotFound("features: no set names this model; declare one with models: [...]")
        for name in sets:
            if name not in known:
                near = did_you_mean(name, list(known))
                raise NotFound(
                    f"features: {near}this model has the sets {sorted(known)}, not {name}"
                )
        return [known[name] for name in sets or known]


def _table(labels: Any) -> Any:
    import pyarrow as pa

    if hasattr(labels, "to_dict"):
        return pa.Table.from_pandas(labels, preserve_index=False)
    return pa.table(labels)
