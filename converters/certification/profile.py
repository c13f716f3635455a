"""The reference profile: 32 equal-mass bins per feature, and the model's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification.parity import right
from converters.samples.groups import DeclaredGroups
from converters.samples.rows import Rows
from edge_sdk.contract.groups import GroupProfile
from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.model.release import Feed
from edge_sdk.model.values import category, is_missing
from edge_sdk.telemetry.histograms import histogram

BINS: Final = 32
CATEGORIES: Final = 256
"""A text column keeps its most frequent values; all others count as outside."""


def reference_profile(
    rows: Rows, answers: Feed, classes: tuple[Any, ...], truth: Any = None
) -> ReferenceProfile:
    """Return the distributions of rows, and of the model's answers to held-out rows.

    Answers to rows that the model was trained on are surer and more often right than on any device.

    Args:
        rows: whose features are described.
        answers: to held-out rows, by output name or role.
        classes: labels in the order of the probabilities.
        truth: labels of the held-out rows, [N]; with them the profile also says how often each
            confidence was right.
    """
    features = tuple(
        _categories(c.name, rows.column(i))
        if c.dtype in ("string", "bool")
        else quantiles(c.name, rows.column(i))
        for i, c in enumerate(rows.columns)
    )
    return ReferenceProfile(len(rows), features, output_profiles(answers, classes, truth))


def output_profiles(
    answers: Feed, classes: tuple[Any, ...], truth: Any = None
) -> tuple[FeatureProfile, ...]:
    """Return the distributions of answers; see :func:`reference_profile`."""
    outputs = []
    if "labels" in answers and classes:
        outputs.append(_categories("label", label_sets(answers["labels"], classes)))
    if "label" in answers:
        names = tuple(category(label) for label in classes)
        outputs.append(_counted(FeatureProfile("label", (0,) * (len(names) + 2), None, names),
                                answers["label"]))  # fmt: skip
    if "probabilities" in answers:
        outputs.append(_confidences(answers, truth))
    if "value" in answers and answers["value"].shape[1:] in ((), (1,)):
        outputs.append(quantiles("value", answers["value"].ravel()))
    return tuple(outputs)


def group_profiles(
    profile: ReferenceProfile,
    answers: Feed,
    groups: Sequence[DeclaredGroups],
    classes: tuple[Any, ...] = (),
) -> tuple[GroupProfile, ...]:
    """Return the distributions of the answers to each group of the held-out rows.

    Args:
        profile: whose bins are used.
        answers: to the held-out rows, as in :func:`reference_profile`.
        groups: of the held-out rows.
        classes: labels in the order of the scores, where there may be several a row.
    """
    values = [_answered(output.name, answers, classes) for output in profile.outputs]
    return tuple(
        GroupProfile(each.column.name, name, len(rows), _histograms(profile, values, rows))
        for each in groups
        for name, rows in each.each()
    )


def _histograms(
    profile: ReferenceProfile, values: Sequence[NDArray[Any]], rows: NDArray[np.int64]
) -> tuple[tuple[int, ...], ...]:
    pairs = zip(profile.outputs, values, strict=True)
    return tuple(_counted(output, column[rows]).counts for output, column in pairs)


def label_sets(given: NDArray[np.bool_], classes: tuple[Any, ...]) -> NDArray[np.object_]:
    """Return the labels of each row, of a table [N, classes], as one text, [N]."""
    sets = np.empty(len(given), object)
    names = [str(name) for name in classes]
    sets[:] = [LabelSet.of(name for name, on in zip(names, row, strict=True) if on)
               for row in given.tolist()]  # fmt: skip
    return sets


def _answered(name: str, answers: Feed, classes: tuple[Any, ...]) -> NDArray[Any]:
    if name == "label" and "labels" in answers:
        return label_sets(answers["labels"], classes)
    if name == "confidence":
        return np.asarray(answers["probabilities"].max(axis=1))
    return answers[name].ravel() if name == "value" else answers[name]


def _confidences(answers: Feed, truth: Any) -> FeatureProfile:
    confidences = answers["probabilities"].max(axis=1)
    profile = quantiles("confidence", confidences)
    if truth is None or "label" not in answers or answers["label"].ndim != 1:
        return profile
    correct = _counted(profile, confidences[right(answers["label"], truth)]).counts
    return replace(profile, correct=correct[: profile.bins])


def quantiles(name: str, values: NDArray[Any]) -> FeatureProfile:
    """Return the profile of numbers [N]: bins of equal mass, and their counts."""
    present = values[np.isfinite(values)].astype(np.float64)
    if len(present) == 0:
        present = np.zeros(1)  # a profile has at least one edge, also of a column that is empty
    # Edges are values that occur: a value is never between what was rounded and what was not.
    shares = np.linspace(0, 1, BINS + 1)
    edges = np.unique(np.quantile(present, shares, method="inverted_cdf"))
    empty = FeatureProfile(name, (0,) * (max(1, len(edges) - 1) + 2), tuple(edges.tolist()))
    return _counted(empty, values)


def _categories(name: str, values: NDArray[Any]) -> FeatureProfile:
    present = [category(value) for value in values if not is_missing(value)]
    categories, counts = np.unique(present, return_counts=True)
    # Stable: among equally frequent ones the first by name, so that the bytes are the same.
    frequent = sorted(categories[np.argsort(-counts, kind="stable")[:CATEGORIES]].tolist())
    return _counted(FeatureProfile(name, (0,) * (len(frequent) + 2), None, tuple(frequent)), values)


def _counted(empty: FeatureProfile, values: NDArray[Any]) -> FeatureProfile:
    counts = tuple(int(count) for count in histogram(empty, values))
    return FeatureProfile(empty.name, counts, empty.edges, empty.categories)
