"""Vectors of predictions that units are told apart by. Pure; the hub fits with the very same.

``features``: the columns of a table as the release takes them, float32; ``embedding``: its output
of that role; ``outputs``: logarithms of its probabilities. Of those that a release can give,
features beside an embedding told subjects of an activity data set apart best, then features alone,
then an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import LARGEST_BASIS, LEAST_LOG, MAP_NUMBERS, Basis
from edge_sdk.errors import ReleaseError
from edge_sdk.model.schema import InputSchema

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest, OutputSpec, TensorSpec


def bases_of(manifest: Manifest) -> tuple[Basis, ...]:
    """Return the bases that a release can give, the best first."""
    return tuple(sizes_of(manifest))


def sizes_of(manifest: Manifest) -> dict[Basis, int]:
    """Return the size d of each basis that a release can give, the best first.

    A regressor needs no vector, so its basis is ``outputs``; that of a release without classes'
    probabilities and without a number is none.
    """
    signature = manifest.signature
    if not signature.batched or signature.state:
        return {}
    if signature.output("probabilities") is None:
        return {"outputs": 0} if signature.output("value") is not None else {}
    features, embedding = _features(manifest), _embedding(manifest)
    possible: dict[Basis, int] = {}
    if features and embedding:
        possible["features+embedding"] = features + embedding
    if features:
        possible["features"] = features
    if embedding:
        possible["embedding"] = embedding
    possible["outputs"] = classes = len(signature.classes)
    most = min(LARGEST_BASIS, MAP_NUMBERS // max(classes, 1))
    return {basis: size for basis, size in possible.items() if 0 < size <= most}


def vectors(
    basis: Basis, manifest: Manifest, feed: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """Return the vectors [N, d] of N predictions; NaN where a feature was missing.

    Args:
        basis: one of :func:`bases_of`.
        manifest: of the release.
        feed: input tensors of N rows.
        outputs: output tensors that came of them.

    Raises:
        ReleaseError: the release cannot give this basis.
    """
    if basis not in bases_of(manifest):
        raise ReleaseError(
            f"{manifest.model} {manifest.version}: cannot give the basis {basis!r}, only "
            f"{', '.join(bases_of(manifest)) or 'none'}"
        )
    signature = manifest.signature
    if basis == "outputs":
        spec = signature.output("probabilities")
        if spec is None:  # a regressor
            value = signature.output("value")
            assert value is not None
            return np.empty((len(outputs[value.name]), 0), np.float32)
        least = np.float32(np.exp(LEAST_LOG))
        return np.log(np.maximum(outputs[spec.name].astype(np.float32), least))
    parts = []
    if basis.startswith("features"):
        dense = _dense(manifest)
        assert dense is not None
        parts.append(np.asarray(feed[dense.name], np.float32))
    if basis.endswith("embedding"):
        inner = signature.output("embedding")
        assert inner is not None
        rows = outputs[inner.name]
        parts.append(rows.reshape(len(rows), -1).astype(np.float32))
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def _features(manifest: Manifest) -> int:
    """Return the number of columns, if they are numbers of one table; else 0."""
    dense = _dense(manifest)
    numbers = dense is not None and dense.dtype.startswith("float")
    return len(manifest.signature.columns) if numbers else 0


def _dense(manifest: Manifest) -> TensorSpec | None:
    return InputSchema.of(manifest).dense


def _embedding(manifest: Manifest) -> int:
    """Return the numbers of the embedding of a row; 0 without one, or of no fixed size."""
    spec: OutputSpec | None = manifest.signature.output("embedding")
    if spec is None or spec.batch != 0 or not spec.dtype.startswith("float"):
        return 0
    sizes = [size for size in spec.shape[1:] if size is not None]
    return prod(sizes) if len(sizes) == len(spec.shape) - 1 else 0
