"""``edge-hub features join --events``: events are replayed here, and go to no hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cloud_hub.errors import NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_hub.features.declaration import VersionedSet
    from cloud_hub.features.point_in_time import SetCoverage


class ChosenSets(NamedTuple):
    """Sets that labels are joined with: of sessions, and names of those that the hub joins."""

    of_sessions: list[VersionedSet]
    with_rows: list[str]


def chosen_sets(
    known: Sequence[dict[str, Any]], columns: Sequence[str], names: Sequence[str]
) -> ChosenSets:
    """Return the sets that labels are joined with.

    Args:
        known: all sets of the hub, as it lists them.
        columns: of the labels.
        names: of sets; none for all whose entity is a column.

    Raises:
        NotFound: none of them is of sessions.
    """
    from cloud_hub.features.declaration import FeatureSet, VersionedSet
    from edge_sdk.contract.codec import from_plain

    chosen = ChosenSets([], [])
    for each in known:
        declared = from_plain(FeatureSet, each["declared"], each["ref"])
        if declared.name in names or (not names and declared.entity in columns):
            if declared.session is None:
                chosen.with_rows.append(declared.name)
            else:
                version = int(each["ref"].rpartition("@")[2])
                chosen.of_sessions.append(VersionedSet(declared, version))
    # A name that no set has is left to the hub, which says what there is.
    chosen.with_rows.extend(set(names) - {each["declared"]["name"] for each in known})
    if not chosen.of_sessions and not set(names) & set(chosen.with_rows):
        raise NotFound(
            f"features: no set of sessions has one of the columns {list(columns)} as its entity"
        )
    return chosen


def join_sessions(
    labels: pa.Table, sets: Sequence[VersionedSet], events: Path, as_of: str
) -> tuple[pa.Table, list[SetCoverage]]:
    """Return labels with session features, and what they got of each set.

    Args:
        labels: perhaps joined with other sets.
        sets: of sessions.
        events: file of a log.
        as_of: column of moments.

    Raises:
        Invalid: the log or the labels do not fit.
    """
    from cloud_hub.features.row_files import read_rows
    from cloud_hub.features.session_log import session_features

    metadata = dict(labels.schema.metadata or {})
    lineage = [text for text in [metadata.get(b"features", b"").decode()] if text]
    coverage: list[SetCoverage] = []
    for each in sets:
        log = read_rows(events, str(events), each.declared.texts)
        done = session_features(each, log, labels, as_of)
        labels = done.table
        coverage += done.coverage
        lineage.append(each.ref)
    return labels.replace_schema_metadata({"features": " ".join(lineage)}), coverage
