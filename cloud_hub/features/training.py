"""Sets of features as a training function has them; it reaches neither hub nor database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.text.spelling import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_hub.features.declaration import VersionedSet
    from cloud_hub.features.set_history import SetHistory


@dataclass(frozen=True)
class TrainingFeatures:
    """Sets of one training: those with rows, and the one of sessions, if there is one.

    ``joined`` are those that it has joined, as ``NAME@N``.
    """

    histories: tuple[SetHistory, ...] = ()
    sessions: tuple[VersionedSet, ...] = ()
    joined: set[str] = field(default_factory=set)

    def features(
        self,
        labels: Any,
        *,
        as_of: str,
        sets: Sequence[str] = (),
        ages: bool = False,
        events: Any = None,
    ) -> Any:
        """Join labels; see :meth:`cloud_hub.runs.context.TrainingContext.features`."""
        from cloud_hub.features.joining import join

        chosen, of_sessions = self._named(sets, with_events=events is not None)
        table = _arrow("labels", labels)
        if chosen:
            table = join(table, chosen, as_of, ages=ages).table
        for each in of_sessions:
            from cloud_hub.features.session_log import session_features

            table = session_features(each, _arrow("events", events), table, as_of).table
        self.joined.update(history.ref for history in chosen)
        self.joined.update(each.ref for each in of_sessions)
        frame = table.to_pandas()
        # The labels' own index: who puts a column beside them means the same row.
        frame.index = getattr(labels, "index", frame.index)
        return frame

    def _named(
        self, sets: Sequence[str], *, with_events: bool
    ) -> tuple[list[SetHistory], list[VersionedSet]]:
        """Return the chosen sets with rows, and those of sessions, which need events."""
        rows = {history.declared.name: history for history in self.histories}
        sessions = {each.declared.name: each for each in self.sessions}
        known = [*rows, *sessions]
        if not known:
            raise NotFound("features: no set names this model; declare one with models: [...]")
        for name in sets:
            if name not in known:
                near = did_you_mean(name, known)
                raise NotFound(
                    f"features: {near}this model has the sets {sorted(known)}, not {name}"
                )
        if not with_events and (any(name in sessions for name in sets) or not rows):
            raise Invalid(f"features: {sorted(sessions)} is of sessions: give their events=")
        if with_events and not sessions:
            raise NotFound("features: this model has no set of sessions, so events= is of no use")
        wanted = sets or (known if with_events else list(rows))
        return (
            [rows[name] for name in wanted if name in rows],
            [sessions[name] for name in wanted if name in sessions],
        )


def _arrow(what: str, rows: Any) -> pa.Table:
    import pyarrow as pa

    try:
        return rows if isinstance(rows, pa.Table) else _table(rows)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise Invalid(f"{what}: expected columns of one type each; {error}") from error


def _table(labels: Any) -> Any:
    import pyarrow as pa

    if hasattr(labels, "to_dict"):
        return pa.Table.from_pandas(labels, preserve_index=False)
    return pa.table(labels)
