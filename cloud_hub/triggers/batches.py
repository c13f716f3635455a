"""Loads late labels as they came: batch by batch, by device, for detectors that see each once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Engine, select

from cloud_hub.fleet.tables import devices
from cloud_hub.telemetry.groups import GroupSums
from cloud_hub.telemetry.tables import ROLLED, feedback
from cloud_hub.triggers.facts import LabelBatch

Loaded = dict[str, dict[str, list[LabelBatch]]]


class LabelBatches:
    """Batches of a model's versions for windows from ``since`` (Unix seconds) on.

    Live, a batch is a device's message, in the order in which the hub got it. With a ``lag`` (a
    replay) it is a whole window that far after its start: when labels came is not stored. What was
    rolled up into hours has no device any more: live it was seen long ago, a replay takes it for
    one device.
    """

    def __init__(self, engine: Engine, sums: GroupSums, lag: float, since: float) -> None:
        self._engine = engine
        self._sums = sums
        self._lag = lag
        self._since = since

    def load(
        self, model: str, version: str, *, columns: Collection[str], attributes: Collection[str]
    ) -> Mapping[str, Mapping[str, tuple[LabelBatch, ...]]]:
        """Return the batches of one version, of all rows and by group.

        Args:
            model: name of the model.
            version: of the model.
            columns: that define groups of rows.
            attributes: of devices that define groups of them.
        """
        loaded: Loaded = {"": {}, **{by: {} for by in (*columns, *attributes)}}
        known = self._attributes(model) if attributes else {}
        bodies = columns if self._lag == 0 else ()
        for row in self._rows(model, version, with_body=bool(bodies)):
            self._add(loaded, "", "", row, (row.own_labelled, row.own_correct))
            for by in bodies:
                for group, pair in row.body.get("groups", {}).get(by, {}).items():
                    self._add(loaded, by, group, row, pair)
            for by in attributes:
                group = known.get(row.device, {}).get(by)
                if group is not None:
                    self._add(loaded, by, group, row, (row.own_labelled, row.own_correct))
        if self._lag > 0 and columns:
            self._add_sums(loaded, model, version, columns)
        return {by: {g: tuple(each) for g, each in groups.items()} for by, groups in loaded.items()}

    def _add(self, loaded: Loaded, by: str, group: str, row: Any, pair: tuple[int, int]) -> None:
        # A replay has no messages: all that there is of a window is there at its end.
        order = int(row.start) if self._lag else int(row.id)
        batch = LabelBatch(
            order, row.start, row.device, int(pair[0]), int(pair[1]), row.start + self._lag
        )
        if batch.labelled:
            loaded[by].setdefault(group, []).append(batch)

    def _add_sums(self, loaded: Loaded, model: str, version: str, columns: Collection[str]) -> None:
        for row in self._sums.windows(model, version, after=int(self._since)):
            if row.column in columns and row.labelled:
                batch = LabelBatch(
                    row.start, row.start, ROLLED, row.labelled, row.correct, row.start + self._lag
                )
                loaded[row.column].setdefault(row.group, []).append(batch)

    def _rows(self, model: str, version: str, *, with_body: bool) -> Iterator[Any]:
        f = feedback.c
        columns = (f.id, f.start, f.device, f.own_labelled, f.own_correct)
        query = (
            select(*columns, *((f.body,) if with_body else ()))
            .where(f.model == model, f.version == version, f.start >= int(self._since))
            .where(f.own_labelled > 0)
            .order_by(f.id)
        )
        if self._lag == 0:
            query = query.where(f.device != ROLLED)
        with self._engine.connect() as db:
            yield from db.execute(query)

    def _attributes(self, model: str) -> dict[str, dict[str, str]]:
        query = select(devices.c.device, devices.c.attributes).where(devices.c.model == model)
        with self._engine.connect() as db:
            return {row.device: row.attributes for row in db.execute(query)}
