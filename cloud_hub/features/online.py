"""The newest values of all sets of a model, as one table for the store that serving reads. Pure.

It is the join of every entity at this moment: what serving gets and what training sees are one
computation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloud_hub.deferred.libraries import pa
from cloud_hub.features.joining import AGE, join
from cloud_hub.features.moments import MICRO, moment_type
from cloud_hub.features.point_in_time import JoinedRows
from cloud_hub.features.set_history import SetHistory, entity_names
from cloud_hub.features.table import FeatureTable

_NOW = "@now"


def entities_in(histories: Sequence[SetHistory]) -> list[str]:
    """Return the names of the entities of all sets, in order."""
    return sorted(set().union(*map(entity_names, histories)))


def newest_rows(histories: Sequence[SetHistory], entities: Sequence[str], now: float) -> JoinedRows:
    """Return entities with the features that serving has of them at ``now`` (Unix seconds)."""
    (entity,) = {history.declared.entity for history in histories}
    moments = np.full(len(entities), int(now * MICRO), np.int64)
    asked = pa.table(
        {entity: pa.array(entities, pa.string()), _NOW: pa.array(moments).cast(moment_type())}
    )
    return join(asked, histories, _NOW, ages=True)


def online_table(histories: Sequence[SetHistory], now: float) -> FeatureTable | None:
    """Return the newest values of entities that have any, and how old they are.

    Args:
        histories: sets of one model.
        now: Unix seconds.

    Returns:
        The table; ``None`` while there is no row that serving may have yet.
    """
    entities = entities_in(histories)
    if not entities:
        return None
    table = newest_rows(histories, entities, now).table
    ages = {h.declared.name: table[f"{h.declared.name}{AGE}"].to_numpy() for h in histories}
    some = np.any([~np.isnan(age) for age in ages.values()], axis=0)
    if not some.any():
        return None
    table = table.filter(pa.array(some))
    features = [feature for history in histories for feature in history.declared.features]
    return FeatureTable(
        tuple(np.asarray(entities, object)[some].tolist()),
        {feature.name: _values(table[feature.name]) for feature in features},
        {feature.name: _plain(feature.filler) for feature in features},
        *_moments(histories, {name: age[some] for name, age in ages.items()}, now),
    )


def _moments(
    histories: Sequence[SetHistory], ages: dict[str, np.ndarray], now: float
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return when the oldest value of each entity was computed, and when the first gets stale."""
    computed = np.stack([now - ages[h.declared.name] for h in histories])
    fresh = [h.declared.freshness_seconds for h in histories]
    stale = np.stack([row + seconds for row, seconds in zip(computed, fresh, strict=True)])
    # An entity without a row in one set has the defaults of that one, which have no age.
    return (
        tuple(np.floor(np.nanmin(computed, axis=0)).astype(np.int64).tolist()),
        tuple(np.floor(np.nanmin(stale, axis=0)).astype(np.int64).tolist()),
    )


def _values(column: pa.ChunkedArray) -> tuple[str | float | None, ...]:
    return tuple(map(_plain, column.to_pylist()))


def _plain(value: str | float | bool | None) -> str | float | None:
    return int(value) if isinstance(value, bool) else value
