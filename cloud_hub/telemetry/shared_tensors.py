"""Labelled inputs that are no table, as devices shared them: listed, and given out as ``.npz``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Select, func, select

from cloud_hub.errors import NotFound
from cloud_hub.fleet.tables import identities
from cloud_hub.telemetry.tables import tensor_samples
from edge_sdk.telemetry.tensor_blobs import unpacked

if TYPE_CHECKING:
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.manifest import Label

LABEL = "label"
"""Name of the label beside the tensors, as far as none of them is called so."""


@dataclass(frozen=True)
class TensorRecord:
    """One shared input.

    Attributes:
        id: by which it is fetched.
        device: that shared it.
        version: of the release that it was given to.
        taken: when, Unix seconds.
        label: that came for it.
        shapes: of its tensors by name.
        bytes: compressed.
    """

    id: int
    device: str
    version: str
    taken: int
    label: Label | float
    shapes: dict[str, list[int]]
    bytes: int


class StoredTensors:
    """What devices shared; those that were revoked or are stopped do not count.

    Args:
        engine: of the database.
        registry: knows the dtypes of a release's tensors.
    """

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry

    def records(
        self, model: str, *, since: float = 0.0, after: int = 0, limit: int = 1_000
    ) -> list[TensorRecord]:
        """Return records in the order in which they came.

        Args:
            model: name of the model.
            since: only inputs of then or later, Unix seconds.
            after: only records with a higher id.
            limit: how many at most.
        """
        t = tensor_samples.c
        columns = (t.id, t.device, t.version, t.taken, t.label, t.shapes, t.bytes)
        query = _counting(select(*columns), model, since).where(t.id > after)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(t.id).limit(limit)).mappings()
            return [TensorRecord(**row) for row in rows]

    def total(self, model: str, *, since: float = 0.0) -> tuple[int, int]:
        """Return the number of inputs, and their compressed bytes."""
        t = tensor_samples.c
        query = select(func.count(), func.coalesce(func.sum(t.bytes), 0)).select_from(
            tensor_samples
        )
        with self._engine.connect() as db:
            count, size = db.execute(_counting(query, model, since)).one()
        return int(count), int(size)

    def npz(self, model: str, id_: int) -> bytes:
        """Return the tensors of one input, and its label, as an ``.npz`` file.

        Raises:
            NotFound: there is none of that id.
        """
        t = tensor_samples.c
        query = _counting(select(t.version, t.shapes, t.data, t.label), model, 0.0)
        with self._engine.connect() as db:
            row = db.execute(query.where(t.id == id_)).first()
        if row is None:
            raise NotFound(f"{model}: no shared tensors {id_}")
        signature = self._registry.release(model, row.version).manifest.signature
        shapes = {name: tuple(shape) for name, shape in row.shapes.items()}
        tensors: dict[str, Any] = unpacked(row.data, shapes, signature)
        return as_npz({LABEL: np.array(row.label)} | tensors)


def as_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an ``.npz`` file of arrays with any names: ``savez`` takes some for its options."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)
    return file.getvalue()


def _counting(query: Select[Any], model: str, since: float) -> Select[Any]:
    t = tensor_samples.c
    stopped = select(identities.c.device).where(identities.c.standing != "active")
    return query.where(t.model == model, t.taken >= since, t.device.not_in(stopped))
