"""Checks of rows that somebody gives: what cannot be used is refused now and not at the next gate.

Rows for training may have other columns than the model (a training may take new features); a
holdout and a catalogue are answered by the model as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cloud_hub.data.columns import NUMBERS, array_of, kind_of
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import columns_for
from cloud_hub.datasets.records import ANSWERED, LABELLED, TRAIN
from cloud_hub.deferred.libraries import pc
from cloud_hub.errors import Invalid
from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.contract.manifest import Label
from edge_sdk.errors import InputError
from edge_sdk.model.release import Release
from edge_sdk.model.schema import InputSchema


def check_rows(name: str, data: Dataset, releases: Sequence[Release]) -> None:
    """Refuse rows that cannot be used for what they are given.

    Args:
        name: of the dataset.
        data: the rows.
        releases: versions of the model, newest first; none for a new model.

    Raises:
        Invalid: no rows, no labels where they are needed, labels that are missing or not finite, or
            rows that no version of the model takes.
    """
    if len(data) == 0:
        raise Invalid("dataset: expected at least one row, got none")
    if data.label is None and name in LABELLED:
        raise Invalid(
            f"dataset: expected labels in rows of the kind {name}: y beside X, or a column that "
            "--label names"
        )
    if data.label is not None:
        _check_labels(data, data.label)
        if releases and releases[0].manifest.task == "multilabel":
            _check_sets(name, data, releases[0].manifest.signature.classes)
    if name in ANSWERED and releases:
        _check_fit(data, releases)


def _check_labels(data: Dataset, label: str) -> None:
    column = array_of(data.table, label)
    kind = kind_of(column.type)
    if kind == "time":
        raise Invalid(f"dataset: {label}: expected numbers or texts as labels, got times")
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise Invalid(f"dataset: {label}: expected a label in each row, row {row} has none")
    if kind in NUMBERS:
        labels = np.asarray(data.labels, dtype=np.float64)
        if not np.isfinite(labels).all():
            row = int(np.flatnonzero(~np.isfinite(labels))[0])
            raise Invalid(f"dataset: {label}: expected finite numbers, row {row} has {labels[row]}")


def _check_sets(name: str, data: Dataset, classes: Sequence[Label]) -> None:
    """Refuse labels that a multilabel model does not give."""
    if name == TRAIN:
        raise Invalid(
            f"dataset: {name}: labels of a multilabel model can be a holdout, on which versions "
            "are compared; the hub does not train on them"
        )
    known = {str(label) for label in classes}
    for row, text in enumerate(() if data.labels is None else data.labels):
        strange = sorted(set(LabelSet.parse(str(text)).labels) - known)
        if strange:
            raise Invalid(
                f"dataset: {data.label}: expected the labels of each row as one text, such as "
                f"{str(LabelSet.of(classes[:2]))!r}; row {row} has {strange[0]!r:.60}"
            )


def _check_fit(data: Dataset, releases: Sequence[Release]) -> None:
    """Raise Invalid with the newest version's reason, unless one of the versions takes the rows."""
    refusals = []
    for release in releases:
        signature, version = release.manifest.signature, release.manifest.version
        missing = release.manifest.training.get("missing") == "allowed"
        try:
            if signature.columns:
                values = columns_for(data, signature.columns, version)
                InputSchema(signature, missing=missing).batch(values)
        except InputError as error:
            refusals.append(f"dataset: {version} does not take it; {error}")
        except Invalid as error:
            refusals.append(str(error))
        else:
            return
    raise Invalid(refusals[0])
