"""Shared inputs against the release that they are of: what a training could not use is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloud_hub.errors import Invalid
from edge_sdk.errors import ContractError, InputError
from edge_sdk.model.schema import InputSchema
from edge_sdk.telemetry.tensor_blobs import unpacked

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label, Manifest, Signature
    from edge_sdk.contract.messages import SampleBatch, TensorSample


def check_samples(batch: SampleBatch, manifest: Manifest) -> None:
    """Refuse rows that a device with this release cannot have answered, and labels it cannot get.

    Args:
        batch: rows and labels.
        manifest: of the release that the batch names.

    Raises:
        Invalid: a row of another width or other types, or a label of another type.
    """
    if not batch.rows:
        return
    schema = InputSchema.of(manifest)
    if not schema.columns:
        raise Invalid(f"samples: {manifest.model} {manifest.version} has no named columns to share")
    widths = {len(row) for row in batch.rows}
    if widths != {schema.width}:
        raise Invalid(f"samples: expected {schema.width} values in each row, got {sorted(widths)}")
    try:
        schema.batch([list(row) for row in batch.rows])
    except InputError as error:
        raise Invalid(f"samples: {error}") from error
    _check_labels(batch.labels, manifest)


def check_tensors(sample: TensorSample, manifest: Manifest) -> None:
    """Refuse tensors that a device with this release cannot have answered, or a label likewise.

    Args:
        sample: tensors and their label.
        manifest: of the release that the sample names.

    Raises:
        Invalid: other tensors or shapes, other values than they say, or a label of another type.
    """
    signature = manifest.signature
    if signature.columns or signature.state:
        raise Invalid(f"tensors: {manifest.model} {manifest.version} is of rows or of sequences")
    _check_shapes(sample, signature)
    try:
        InputSchema.of(manifest).row(unpacked(sample.data, sample.shapes, signature))
    except (InputError, ContractError) as error:
        raise Invalid(f"tensors: {error}") from error
    _check_labels([sample.label], manifest)


def _check_shapes(sample: TensorSample, signature: Signature) -> None:
    """Refuse other shapes before anything is unpacked: a few bytes may be 16 MiB of zeros."""
    for spec in signature.application_inputs:
        shape = sample.shapes.get(spec.name, ())
        wanted = [
            1 if signature.batched and axis == spec.batch else size
            for axis, size in enumerate(spec.shape)
        ]
        fits = len(shape) == len(wanted) and all(
            want is None or want == have for want, have in zip(wanted, shape, strict=True)
        )
        if spec.name in sample.shapes and not fits:
            raise Invalid(f"tensors: {spec.name!r:.60}: expected shape {wanted}, got {list(shape)}")


def _check_labels(labels: Sequence[Label | float], manifest: Manifest) -> None:
    """Refuse labels that no device with this release takes: other classes, or texts for numbers."""
    classes = manifest.signature.classes
    for label in labels:
        if classes and label not in classes:
            raise Invalid(f"samples: expected one of {len(classes)} classes, got {label!r:.60}")
        if not classes and isinstance(label, str):
            raise Invalid(f"samples: expected a number as label, got {label!r:.60}")
