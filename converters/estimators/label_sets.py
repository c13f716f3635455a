"""Estimators that give several labels a row: each is scored for itself, and given above one half.

scikit-learn has two forms of them: a table of zeros and ones (``OneVsRestClassifier`` and
``MLPClassifier`` that were fitted on one), and one answer for each of several targets, of which
each is 0 or 1 (``MultiOutputClassifier``, forests, neighbours).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LIMIT: Final = 0.5
"""A label is given if its probability is larger; at one half itself none of them gives it."""

DOUBTFUL: Final = 1e-5
"""So close to one half a label may be given or not: the estimator decides before it rounds."""

OWN_RULE: Final = ("SVC", "NuSVC")
"""Classifiers whose labels do not follow from their probabilities (those are fitted apart)."""


def label_count(model: Any, parts: Iterable[Any]) -> int | None:
    """Return how many labels a model scores, ``None`` if its labels do not follow from scores.

    Args:
        model: a fitted classifier of several targets, or a Pipeline that ends in one.
        parts: it and all fitted estimators inside it.
    """
    if any(type(part).__name__ in OWN_RULE for part in parts):
        return None
    last = _last(model)
    if not isinstance(last.classes_, list):
        return len(last.classes_)
    targets = [np.asarray(classes) for classes in last.classes_]
    is_table = all(t.dtype.kind in "biuf" and t.tolist() == [0, 1] for t in targets)
    return len(targets) if is_table else None


def in_pairs(model: Any) -> bool:
    """Return whether its probabilities are a table [N, 2] for each label, and not one for all."""
    last = _last(model)
    return isinstance(last.classes_, list) and type(last).__name__ != "ClassifierChain"


def scores_of(probabilities: Any) -> NDArray[Any]:
    """Return the scores [N, labels] of what ``predict_proba`` gave."""
    if isinstance(probabilities, list):
        return np.column_stack([np.asarray(pair)[:, 1] for pair in probabilities])
    return np.asarray(probabilities)


def given(labels: Any) -> NDArray[np.bool_]:
    """Return the labels [N, labels] of what ``predict`` gave, as a table of truth values."""
    table = labels.toarray() if hasattr(labels, "toarray") else np.asarray(labels)
    return np.asarray(table.astype(np.float64) > LIMIT)


def follow(labels: NDArray[np.bool_], scores: NDArray[Any]) -> bool:
    """Return whether labels [N, labels] are those whose scores are above one half."""
    if labels.shape != scores.shape:
        return False
    clear = np.abs(scores - LIMIT) > DOUBTFUL
    return bool((labels == (scores > LIMIT))[clear].all())


def threshold(dtype: str) -> float:
    """Return the least score of this type that is above one half: a device gives labels from it."""
    kind = np.dtype(dtype).type
    return float(np.nextafter(kind(LIMIT), kind(1)))


def _last(model: Any) -> Any:
    return _last(model.steps[-1][1]) if hasattr(model, "steps") else model
