"""Checks of uploaded rows: what cannot be used is refused now and not at the next gate.

Rows for training may have other columns than the model (a training may take new features); a
holdout and a catalogue are answered by the model as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from edge_sdk.errors import InputError
from edge_sdk.model.release import Release
from edge_sdk.model.schema import InputSchema

HOLDOUT: Final = "holdout"
LABELLED: Final = ("holdout", "train")
ANSWERED: Final = ("holdout", "catalogue")


def check_rows(
    kind: str, rows: NDArray[Any], labels: NDArray[Any] | None, releases: Sequence[Release]
) -> None:
    """Refuse rows that cannot be used for what they are uploaded for.

    Args:
        kind: ``holdout``, ``catalogue`` or ``train``.
        rows: [N, columns], in the order of the manifest's columns.
        labels: [N], if there are any.
        releases: versions of the model, newest first; none for a new model.

    Raises:
        Invalid: no rows, no labels where they are needed, labels of another shape or not finite, or
            rows that no version of the model takes.
    """
    if len(rows) == 0:
        raise Invalid("dataset: expected at least one row, got none")
    if labels is None and kind in LABELLED:
        raise Invalid(f"dataset: expected labels y beside X in rows of the kind {kind}")
    if labels is not None:
        _check_labels(kind, labels, releases[0] if releases else None)
    if kind in ANSWERED and releases:
        _check_fit(rows, releases)


def _check_labels(kind: str, labels: NDArray[Any], newest: Release | None) -> None:
    if newest is not None and newest.manifest.task == "multilabel":
        _check_table(kind, labels, len(newest.manifest.signature.classes))
    elif labels.ndim != 1:
        raise Invalid(f"dataset: expected y [N], one label a row, got {labels.shape}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise Invalid(f"dataset: y: expected finite numbers, row {row} has {labels[row]}")


def _check_table(kind: str, labels: NDArray[Any], classes: int) -> None:
    """Refuse labels that are no table of what a multilabel model gives."""
    if kind != HOLDOUT:
        raise Invalid(
            f"dataset: {kind}: labels of a multilabel model can be a holdout, on which versions "
            "are compared; the hub does not train on them"
        )
    is_table = labels.shape[1:] == (classes,) and labels.dtype.kind in "biuf"
    if not is_table or not np.isin(labels, (0, 1)).all():
        raise Invalid(
            f"dataset: expected y [N, {classes}], a zero or a one for each class of a multilabel "
            f"model, got {labels.dtype} {labels.shape}"
        )


def _check_fit(rows: NDArray[Any], releases: Sequence[Release]) -> None:
    """Raise Invalid with the newest version's reason, unless one of the versions takes the rows."""
    refusals = []
    for release in releases:
        signature = release.manifest.signature
        missing = release.manifest.training.get("missing") == "allowed"
        try:
            if signature.columns:
                InputSchema(signature, missing=missing).batch(rows)
        except InputError as error:
            refusals.append(f"dataset: {release.manifest.version} does not take it; {error}")
        else:
            return
    raise Invalid(refusals[0])
