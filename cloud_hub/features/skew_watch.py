"""Measures skew every hour, and after each file that devices are given; stores it, and alarms.

Rows that came a moment ago are on their way to devices, which is no skew: both ways are compared as
of the moment of the file that devices have. If nothing newer gets to them for
:data:`GRACE_SECONDS`, they are compared with what trainings see by now.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import Engine, insert, select

from cloud_hub.database.engine import transaction
from cloud_hub.errors import NotFound
from cloud_hub.features.online import entities_in, newest_rows
from cloud_hub.features.set_history import SetHistory
from cloud_hub.features.skew import ENTITIES, FeatureSkew, skews
from cloud_hub.features.table import known_columns, typed
from cloud_hub.features.tables import feature_skews
from cloud_hub.packs.publishing import pack_file
from cloud_hub.registry.per_model import for_each
from edge_sdk.contract.dtypes import STRING
from edge_sdk.packs.entity_features import EntityFeatures

if TYPE_CHECKING:
    from cloud_hub.features.giving import Given
    from cloud_hub.features.sets import FeatureSets
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.manifest import Column
    from edge_sdk.contract.plan import PackRef

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 3_600.0

GRACE_SECONDS: Final = 600.0
"""Time in which new rows get into a file for devices, at most, where all is well."""

RaiseAlarm = Callable[[str, str, str, Mapping[str, Any], float], object]
"""Raises an alarm, given model, version, signal, evidence and the time in Unix seconds."""


@dataclass(frozen=True)
class SkewReport:
    """Skew of the version that serves, feature by feature, as of ``at`` (Unix seconds); with
    ``settled`` False rows were on their way to devices, so it says nothing yet.
    """

    model: str
    version: str
    features: tuple[FeatureSkew, ...]
    at: float
    settled: bool


class SkewWatch:
    """Skew of all models whose features come from sets.

    Args:
        engine: of the hub's database.
        sets: what trainings see.
        registry: releases and the signed repository.
        plans: which file devices have.
        alarm: raises one.
    """

    def __init__(
        self, engine: Engine, sets: FeatureSets, registry: Registry, plans: Plans, alarm: RaiseAlarm
    ) -> None:
        self._engine = engine
        self._sets = sets
        self._registry = registry
        self._plans = plans
        self._alarm = alarm
        self._behind: dict[str, tuple[float | None, float]] = {}

    def tick(self, now: float) -> None:
        """Measure models that were not measured for an hour.

        Raises:
            ExceptionGroup: it failed for some models; the others had their turn.
        """
        sets = self._sets.history.sets()
        for_each(
            sorted({model for each in sets for model in each.declared.models}),
            lambda model: self._due(model, now),
        )

    def measure(self, model: str, now: float | None = None) -> SkewReport:
        """Compare, for the version that serves, what devices have with what trainings see.

        Args:
            model: name of the line.
            now: Unix seconds; default the clock.

        Raises:
            NotFound: nothing serves, or its devices have no features of sets.
        """
        moment = time.time() if now is None else now
        plan, sets = self._plans.current(model), self._sets.of_model(model)
        made_of, given = self._sets.giving.made_of(model), self._sets.giving.given(model, moment)
        if plan is None or plan.serving.features is None or given is None or not sets:
            raise NotFound(f"{model}: its devices have no features of sets, so none can differ")
        moments = self._moments(model, given, moment)
        at = moment if moments is None else moments[0]
        version = plan.serving.version
        with self._sets.history.opened(sets) as histories:
            found = self._compared(model, version, plan.serving.features, histories, at)
        # Rows that came meanwhile are in the one and not in the other.
        settled = moments is not None and self._sets.giving.made_of(model) == made_of
        report = SkewReport(model, version, tuple(found), at, settled)
        if settled:
            self._store(report, moment)
        return report

    def _moments(self, model: str, given: Given, now: float) -> tuple[float, float] | None:
        """Return the moment as of which both ways are compared, and that from which this can be
        done; ``None`` while rows are on their way to devices.
        """
        if given.is_newest and not given.held_back:
            self._behind.pop(model, None)
            return given.at, given.at
        # Where a delay lets rows through one by one, each file for devices begins anew.
        file = given.at if given.is_newest else None
        before = self._behind.get(model)
        if before is None or before[0] != file:
            before = self._behind[model] = (file, now)
        began = before[1]
        if now - began >= GRACE_SECONDS:
            return now, began + GRACE_SECONDS
        return (given.at, given.at) if given.is_newest else None

    def _due(self, model: str, now: float) -> None:
        plan = self._plans.current(model)
        given = self._sets.giving.given(model, now)
        if plan is None or plan.serving.features is None or given is None:
            return
        moments = self._moments(model, given, now)
        if moments is None:
            return
        query = select(feature_skews.c.at).where(feature_skews.c.model == model)
        with self._engine.connect() as db:
            last = db.execute(query.order_by(feature_skews.c.id.desc()).limit(1)).scalar()
        # What is new is compared at once, but not faster than rows come in.
        if last is None or now - last >= EVERY_SECONDS or last < moments[1] <= now:
            self.measure(model, now)

    def _compared(
        self,
        model: str,
        version: str,
        pack: PackRef,
        histories: Sequence[SetHistory],
        now: float,
    ) -> list[FeatureSkew]:
        release = self._registry.release(model, version)
        names = tuple(name for history in histories for name in history.declared.names)
        columns = known_columns(names, release.manifest.signature)
        entities = sampled(entities_in(histories))
        table = newest_rows(histories, entities, now).table
        trained = {c.name: as_served(c, table[c.name].to_pylist()) for c in columns}
        rows = [{name: values[i] for name, values in trained.items()} for i in range(len(entities))]
        with pack_file(self._registry.repository, model, pack) as path:
            # Its expiry is for devices; here it is read to be compared.
            features = EntityFeatures.open(path, release, now=0.0)
            try:
                served = [features.join(entity, {})[0] for entity in entities]
            finally:
                features.close()
        return skews([column.name for column in columns], entities, served, rows)

    def _store(self, report: SkewReport, now: float) -> None:
        named = {"model": report.model, "version": report.version, "at": now}
        with transaction(self._engine) as db:
            for each in report.features:
                counts = {"compared": each.compared, "different": each.different}
                row = {**named, **counts, "feature": each.feature, "alarming": each.alarming}
                db.execute(insert(feature_skews).values(**row))
        for each in report.features:
            if each.alarming:
                evidence: dict[str, Any] = {"effect": each.share, "compared": each.compared}
                evidence |= {"different": each.different, "example": list(each.example or ())}
                self._alarm(report.model, report.version, f"skew:{each.feature}", evidence, now)


def sampled(entities: Sequence[str]) -> list[str]:
    """Return at most :data:`ENTITIES` of some entities, evenly spread."""
    step = max(1, -(-len(entities) // ENTITIES))
    return list(entities[::step])


def as_served(column: Column, values: Sequence[Any]) -> list[Any]:
    """Return values in the dtype in which a release takes them."""
    plain = typed(column, values)
    if column.dtype == STRING:
        return plain
    dtype = np.dtype(column.dtype).type
    return [None if value is None else dtype(value).item() for value in plain]
