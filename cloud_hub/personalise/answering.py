"""Answers of a release to labelled rows of units, as a fit of a prior takes them.

Through the device's own runtime and :func:`edge_sdk.personalise.basis.vectors`, so that a fit sees
the very vectors and probabilities that devices learn from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.fit import columns_for
from cloud_hub.errors import Invalid
from edge_sdk.model.schema import InputSchema
from edge_sdk.personalise.basis import bases_of, vectors

if TYPE_CHECKING:
    from cloud_hub.data.dataset import Dataset
    from edge_sdk.contract.manifest import Label, Manifest
    from edge_sdk.contract.personal.prior import Basis
    from edge_sdk.model.release import Release

AT_ONCE: Final = 4_096
"""Rows that the model is given at once: an embedding of each is in memory."""


@dataclass(frozen=True, eq=False)
class AnsweredRows:
    """N rows with what the release says of them.

    Attributes:
        basis: of ``phi``.
        phi: [N, d] basis vectors; NaN where a feature was missing.
        scores: [N, C] probabilities, or [N] numbers of a regressor.
        truth: [N] numbers of the classes, -1 for a label that is none; or true numbers.
    """

    basis: Basis
    phi: NDArray[np.float32]
    scores: NDArray[np.float64]
    truth: NDArray[Any]


def basis_for(manifest: Manifest) -> Basis:
    """Return the best basis of a release.

    Raises:
        Invalid: it answers with neither probabilities of classes nor a number.
    """
    bases = bases_of(manifest)
    if not bases:
        raise Invalid(
            f"{manifest.model} {manifest.version}: cannot be personalised; expected a model of "
            "rows one by one that answers with a class and its probabilities, or with a number"
        )
    return bases[0]


def answered(release: Release, data: Dataset, basis: Basis) -> AnsweredRows:
    """Run a release on labelled rows.

    Args:
        release: whose model is loaded in this process.
        data: features and labels.
        basis: that the release can give.

    Raises:
        Invalid: rows are not of this model, or no label is one of its answers.
        InputError: a value is none that the model takes.
    """
    from edge_sdk.model.session import Model  # brings the runtime

    manifest = release.manifest
    model, schema = Model.load(release), InputSchema.of(manifest)
    phi, scores = [], []
    for part in _parts(data):
        feed = schema.batch(columns_for(part, manifest.signature.columns, manifest.version))
        outputs = model.run(feed)
        phi.append(vectors(basis, manifest, feed, outputs))
        scores.append(_scores(manifest, outputs))
    assert data.labels is not None
    return AnsweredRows(
        basis, np.concatenate(phi), np.concatenate(scores), truth_of(data.labels, manifest)
    )


def truth_of(labels: NDArray[Any], manifest: Manifest) -> NDArray[Any]:
    """Return the number of each label's class [N], -1 where it is none; or the true numbers.

    Raises:
        Invalid: no label is a class of the model, or a regressor's is no number.
    """
    classes = manifest.signature.classes
    if manifest.signature.output("probabilities") is None:
        try:
            return labels.astype(np.float64)
        except (TypeError, ValueError):
            first = labels.tolist()[0]
            raise Invalid(
                f"label: expected numbers, as the model gives, got {first!r:.60}"
            ) from None
    places = {_plain(name): number for number, name in enumerate(classes)}
    truth = np.array([places.get(_plain(label), -1) for label in labels.tolist()], np.int64)
    if len(truth) and truth.max() < 0:
        raise Invalid(
            f"label: expected classes of the model, such as {classes[0]!r:.60}, got labels such as "
            f"{labels.tolist()[0]!r:.60}; name their column with --label"
        )
    return truth


def _plain(label: Label | float | None) -> str:
    """Return a label as text: CSV makes integers of texts, and missing ones make numbers floats."""
    whole = isinstance(label, float) and label.is_integer()
    return str(int(label)) if whole and label is not None else str(label)


def _scores(manifest: Manifest, outputs: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    probabilities = manifest.signature.output("probabilities")
    if probabilities is not None:
        return outputs[probabilities.name].astype(np.float64)
    value = manifest.signature.output("value")
    assert value is not None
    rows = outputs[value.name]
    return rows.reshape(len(rows), -1)[:, 0].astype(np.float64)


def _parts(data: Dataset) -> Iterator[Dataset]:
    for begin in range(0, len(data), AT_ONCE):
        yield data.take(np.arange(begin, min(begin + AT_ONCE, len(data))))
