"""Rows for a release, from a file: a table for a model of columns, tensors by name for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import columns_for
from cloud_hub.errors import Invalid
from edge_sdk.errors import EdgeError
from edge_sdk.model.schema import InputSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_sdk.model.release import Feed, Release

LABEL: Final = "y"


def rows_of(release: Release, file: Path, label: str | None) -> tuple[Feed, NDArray[Any] | None]:
    """Return input tensors of all rows, and their labels if there are any.

    Args:
        release: whose inputs they are.
        file: CSV, Parquet or ``.npz``; for a model of tensors an ``.npz`` with each input by name.
        label: column or array of the labels; by default ``y``, if there is one.

    Raises:
        Invalid: it cannot be read, does not fit, or the model does not answer rows one by one.
    """
    signature, schema = release.manifest.signature, InputSchema.of(release.manifest)
    if not signature.batched or signature.state:
        raise Invalid(f"{release.manifest.model}: expected a model that answers rows by themselves")
    try:
        if not signature.columns:
            feed, truth = _tensors(
                file, [spec.name for spec in signature.application_inputs], label
            )
            return schema.batch(feed), truth
        data = Dataset.read(file, label=label, name=str(file))
        values = columns_for(data, signature.columns, release.manifest.version)
        return schema.batch(values), data.labels
    except EdgeError as error:
        raise Invalid(f"{file}: {error}") from error


def _tensors(file: Path, names: list[str], label: str | None) -> tuple[Feed, NDArray[Any] | None]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise Invalid(f"{file}: expected an .npz with {', '.join(names)}; {error}") from error
    absent = [name for name in (*names, *([label] if label else [])) if name not in arrays]
    if absent:
        raise Invalid(f"{file}: expected an .npz with {', '.join(names)}, has no {absent[0]!r}")
    return {name: arrays[name] for name in names}, arrays.get(label or LABEL)
