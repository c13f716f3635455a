"""Rows of a source to answers, through the device's own runtime.

One inference path: an answer in a table is the answer that a device would give to that row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.batch.layout import Attribute, Layout, best, values_of
from cloud_hub.batch.rows import record_batch
from cloud_hub.batch.sources.wanted import names_of, wanted
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid
from edge_sdk.errors import InputError, ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.outputs import Answers
from edge_sdk.model.schema import InputSchema

if TYPE_CHECKING:
    from cloud_hub.policy.schema.batch import BatchJob
    from edge_sdk.contract.manifest import TensorSpec
    from edge_sdk.model.prediction import BatchPrediction
    from edge_sdk.model.release import Feed, Release

BATCH_ROWS: Final = 8_192
"""Rows that the model takes at a time: they stay in the caches of one core."""


class Answering:
    """A model that answers the rows of one job.

    Args:
        release: of the line that answers.
        job: says what is kept of its answers.
        threads: of onnxruntime.

    Attributes:
        layout: of the table.
        wanted: columns that a source must have.
        digest: of the release.

    Raises:
        Invalid: the model does not fit the job.
    """

    def __init__(self, release: Release, job: BatchJob, threads: int = 1) -> None:
        from edge_sdk.model.session import Model  # brings the runtime

        manifest = release.manifest
        self.wanted = wanted(job, manifest.signature)
        attributes = tuple(Attribute(name, "string") for name in job.attributes)
        self.layout = Layout(values_of(manifest, job), attributes, job.top or 0)
        self.digest = release.digest
        self._job = job
        self._name = f"{manifest.model} {manifest.version}"
        self._schema = InputSchema(
            manifest.signature, missing=manifest.training.get("missing") == "allowed"
        )
        self._answers = Answers(manifest, "batch")
        try:
            self._model = Model.load(release, RuntimeOptions(threads=threads))
        except ReleaseError as error:
            raise Invalid(f"{self._name}: {error}") from error

    def answer(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield rows of the table for the rows of a part.

        Args:
            batches: rows with the wanted columns.

        Raises:
            Invalid: a row does not fit, or the model answers it with NaN; names the entity.
        """
        if self._job.item is not None:
            yield from self._ranked_items(batches)
            return
        for batch in batches:
            entities = names_of(batch.column(self.wanted.entity), self.wanted.entity)
            values = self._values(self.predict(batch, entities))
            self._check_finite(values, entities)
            yield record_batch(self.layout, entities, values, self._attributes(batch))

    def predict(self, batch: pa.RecordBatch, entities: pa.Array) -> BatchPrediction:
        """Return the model's answers to rows.

        Args:
            batch: N rows with the model's columns.
            entities: N names, for messages.

        Raises:
            Invalid: a row does not fit, or the model fails.
        """
        try:
            outputs = self._model.run(self.feed(batch), self._answers.needed)
            return self._answers.batch(outputs, batch.num_rows)
        except InputError as error:
            raise Invalid(self._which(batch, entities, error)) from error
        except ReleaseError as error:
            raise Invalid(f"{self._name}: {error}"[:500]) from error

    def feed(self, batch: pa.RecordBatch) -> Feed:
        """Return the model's input tensors for rows; raises InputError if one does not fit."""
        dense, names = self._schema.dense, [column.name for column in self._schema.columns]
        if dense is None or np.dtype(dense.dtype).kind != "f":
            return self._schema.batch({name: _plain(batch.column(name)) for name in names})
        with np.errstate(over="ignore"):  # an infinity is refused there, with its feature
            return self._schema.batch(_matrix(batch, names, dense))

    def _which(self, batch: pa.RecordBatch, entities: pa.Array, error: InputError) -> str:
        """Say which entity's row does not fit, by trying one after the other."""
        for i in range(batch.num_rows):
            try:
                self.feed(batch.slice(i, 1))
            except InputError as own:
                return f"source: entity {entities[i].as_py()!r}: {own}"
        return f"source: {error}"

    def _attributes(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        return {name: _text(batch.column(name)) for name in self._job.attributes}

    def _values(self, answers: BatchPrediction) -> dict[str, NDArray[Any]]:
        if self._job.top:
            return self._ranked_classes(answers)
        values: dict[str, NDArray[Any]] = {}
        for value in self.layout.values:
            if value.name in ("probabilities", "scores") and answers.probabilities is not None:
                array = answers.probabilities
            elif value.name == "prediction" and value.dtype in ("int64", "string"):
                array = np.asarray(answers.labels).reshape(-1)
                array = array.astype(str).astype(object) if value.dtype == "string" else array
            elif value.name == "prediction":
                array = np.asarray(answers.values)
            else:
                array = answers.outputs[value.name.removeprefix("output_")]
            rows = len(array)
            values[value.name] = array.reshape(rows, -1) if value.many else array.reshape(rows)
        return values

    def _ranked_classes(self, answers: BatchPrediction) -> dict[str, NDArray[Any]]:
        scores = np.asarray(answers.probabilities)
        order = best(scores, len(self.layout.values[0].columns))
        classes = np.array([str(label) for label in self._answers.classes], dtype=object)
        return {"items": classes[order], "scores": np.take_along_axis(scores, order, axis=1)}

    def _check_finite(self, values: dict[str, NDArray[Any]], entities: pa.Array) -> None:
        for value in self.layout.values:
            array = values[value.name]
            if value.dtype in ("float32", "float64") and not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise Invalid(
                    f"{self._name}: expected finite {value.name}, entity {entities[row].as_py()!r} "
                    f"got {np.asarray(array[row]).ravel()[:4].tolist()}"
                )

    def _ranked_items(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield one row an entity with its best items; the rows of one come one after the other."""
        names, items, scores, kept = [], [], [], []
        for batch in batches:
            entities = names_of(batch.column(self.wanted.entity), self.wanted.entity)
            answers = self.predict(batch, entities)
            given = answers.values if answers.values is not None else answers.probabilities
            array = np.asarray(given)
            # Of two classes the second is the one that is asked for, such as "clicked".
            one = array if array.ndim == 1 else array[:, -1]
            if not np.isfinite(one).all():
                bad = entities[int(np.flatnonzero(~np.isfinite(one))[0])].as_py()
                raise Invalid(f"{self._name}: expected finite scores, entity {bad!r} got another")
            names.append(entities)
            items.append(names_of(batch.column(self._job.item), str(self._job.item)))
            scores.append(one)
            kept.append(self._attributes(batch))
        if not names:
            return
        all_names, all_items = pa.concat_arrays(names), pa.concat_arrays(items)
        starts, best_rows = ranked(_changes(all_names), np.concatenate(scores), self._job.top or 1)
        there = best_rows >= 0
        texts = np.array(all_items.to_pylist(), dtype=object)
        flat = np.concatenate(scores)
        values = {
            "items": np.where(there, texts[best_rows], ""),
            "scores": np.where(there, flat[best_rows], np.nan),
        }
        attributes = {
            name: pa.concat_arrays([k[name] for k in kept]).take(pa.array(starts))
            for name in self._job.attributes
        }
        yield record_batch(self.layout, all_names.take(pa.array(starts)), values, attributes)


def ranked(
    starts: NDArray[np.intp], scores: NDArray[Any], top: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the best rows of each group.

    Args:
        starts: first row of each group, rising from 0.
        scores: [rows], finite.
        top: rows of a group to keep.

    Returns:
        ``starts``, and rows [groups, top], best first; -1 where a group has fewer.
    """
    sizes = np.diff(np.append(starts, len(scores)))
    group = np.repeat(np.arange(len(starts)), sizes)
    # Stable: of equal scores the one that came first wins, in every run.
    order = np.lexsort((-scores, group))
    rank = np.arange(len(scores)) - np.repeat(starts, sizes)
    kept = rank < top
    rows = np.full((len(starts), top), -1, np.intp)
    rows[group[kept], rank[kept]] = order[kept]
    return starts, rows


def _changes(names: pa.Array) -> NDArray[np.intp]:
    """Return the first row of each run of equal names."""
    from pyarrow import compute

    changed = compute.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(np.concatenate([[True], changed])).astype(np.intp)


def _matrix(batch: pa.RecordBatch, names: Sequence[str], dense: TensorSpec) -> NDArray[Any]:
    """Return columns of numbers as one matrix [rows, columns]; null is NaN."""
    kind = pa.float64() if dense.dtype == "float64" else pa.float32()
    columns = [_floats(name, batch.column(name), kind) for name in names]
    # Arrow's own loop takes half the time of filling the columns of an array one by one, and holds
    # no lock of Python's meanwhile.
    rows = pa.RecordBatch.from_arrays(columns, list(names))
    matrix: NDArray[Any] = rows.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    return matrix


def _floats(name: str, column: pa.Array, to: pa.DataType) -> pa.Array:
    kind = column.type
    if kind == to:
        return column
    tests = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal)
    if not any(fits(kind) for fits in tests) and not pa.types.is_null(kind):
        raise InputError("dtype", f"feature {name!r}: expected numbers, got {kind}")
    return column.cast(to, safe=False)  # large whole numbers are rounded, as devices round them


def _plain(column: pa.Array) -> Any:
    """Return a column as the schema takes it: numbers as an array, texts as a list."""
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_integer(kind) and not column.null_count):
        return column.to_numpy(zero_copy_only=False)
    return column.to_pylist()


def _text(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise Invalid(f"source: expected attributes of text or numbers; {error}") from error
