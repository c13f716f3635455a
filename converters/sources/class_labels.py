"""Labels of a classifier that came as a file: its classes, and ``y`` in their coding.

A file numbers its classes by the columns of its scores. Which label belongs to which column, the
caller says by ``classes``, or ``y`` shows; labels in another coding would certify a score of 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from edge_sdk.contract.manifest import Label
from edge_sdk.model.values import is_missing

SURE: Final = 1e-6
"""Chance to call labels of a model that guesses labels in another order."""

MOST: Final = 0.5
LEAST: Final = 10
"""Rows below which nothing is said of the order of classes."""

_SHOWN: Final = 5


def class_labels(
    classes: Sequence[Any] | None, y: Any, count: int, output: str
) -> tuple[Label, ...]:
    """Return the labels in the order of the columns of ``output``.

    Args:
        classes: as the caller gave them; ``None`` takes those of ``y``, numbers from 0 or texts in
            alphabetic order, and without ``y`` the numbers of the columns.
        y: one label for each row, as the caller gave them, or ``None``.
        count: number of classes that the output scores.
        output: its name, for messages.

    Raises:
        ConversionError: another number of classes than columns, labels that are no labels, or
            equal ones.
    """
    if classes is not None:
        return _given(classes, count, output)
    if y is None:
        return tuple(range(count))
    labels = sorted(set(plain_labels("y", y)), key=str)
    if all(isinstance(label, int) for label in labels):
        _refuse_beyond([label for label in labels if isinstance(label, int)], count, output)
        return tuple(range(count))
    if len(labels) != count:
        raise ConversionError(
            f"classes: expected {count} labels, one for each column of {output!r}; y has "
            f"{len(labels)} different ones. Name all in the order of the columns: classes="
        )
    return tuple(labels)


def of_columns(labels: NDArray[Any], chosen: NDArray[Any], count: int) -> tuple[Label, ...] | None:
    """Return the labels of the columns, as a file's own labels show them; ``None`` if they do not.

    Args:
        labels: that the file gives, one for each row.
        chosen: column with the largest score of each row, [N].
        count: number of classes.
    """
    pairs = {
        (int(column), label)
        for column, label in zip(chosen, plain_labels("the answers", labels), strict=True)
    }
    of_column = dict(pairs)
    one_to_one = len(pairs) == len(of_column) == len(set(of_column.values())) == count
    return tuple(of_column[column] for column in range(count)) if one_to_one else None


def _given(classes: Sequence[Any], count: int, output: str) -> tuple[Label, ...]:
    labels = plain_labels("classes", classes)
    if len(labels) != count:
        raise ConversionError(
            f"classes: expected {count} labels, one for each class that {output!r} scores; got "
            f"{len(labels)}"
        )
    twice = sorted({str(label) for label in labels if list(labels).count(label) > 1})
    if twice:
        raise ConversionError(f"classes: expected different labels, got {twice[0]} twice")
    return labels


def _refuse_beyond(labels: Sequence[int], count: int, output: str) -> None:
    low, high = min(labels), max(labels)
    if low >= 0 and high < count:
        return
    shifted = f", such as classes=range(1, {count + 1})" if (low, high) == (1, count) else ""
    raise ConversionError(
        f"y: expected numbers of columns of {output!r}, from 0 to {count - 1}; got {low} to "
        f"{high}. If these are labels, name all in the order of the columns: classes={shifted}"
    )


def plain_labels(what: str, labels: Any) -> tuple[Label, ...]:
    """Return labels as whole numbers or texts.

    Raises:
        ConversionError: one is missing, or something else; ``what`` is named.
    """
    array = np.asarray(labels)
    flat = array.ravel() if array.ndim and array.size == len(array) else None
    if flat is None:
        raise ConversionError(
            f"{what}: expected one label for each row, got shape {array.shape}; for a table of one "
            "column for each class give y.argmax(axis=1), or declare multilabel"
        )
    return tuple(_plain(what, i, label) for i, label in enumerate(flat.tolist()))


def _plain(what: str, place: int, label: Any) -> Label:
    if isinstance(label, str) and _travels(label):
        return label
    if isinstance(label, bool | int | float) and abs(label) < 2**63 and label == int(label):
        return int(label)
    if is_missing(label):
        raise ConversionError(f"{what}: expected a label, {what}[{place}] is missing")
    raise ConversionError(
        f"{what}: expected whole numbers or texts, got {label!r:.60} at {what}[{place}]"
    )


def _some(labels: Sequence[Label]) -> str:
    """Return the first labels, for a message."""
    more = " and others" if len(labels) > _SHOWN else ""
    return ", ".join(repr(label) for label in labels[:_SHOWN]) + more


def _travels(text: str) -> bool:
    """Return whether a text can be in a manifest: half of a surrogate pair or NUL can not."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def coded(y: Any, classes: tuple[Label, ...], rows: int) -> NDArray[Any]:
    """Return ``y`` as labels of ``classes``, [rows].

    Raises:
        ConversionError: another number of labels than rows, one is missing, or is no class.
    """
    truth = plain_labels("y", y)
    check_length(truth, rows)
    names = {str(label): label for label in classes}  # a file of rows has 3 as "3"
    unknown = sorted({str(label) for label in truth} - set(names))
    if unknown:
        raise ConversionError(
            f"y: expected labels of the classes {_some(classes)}; got {_some(unknown)}. Is y in "
            "another coding?"
        )
    array = np.empty(rows, object)
    array[:] = [names[str(label)] for label in truth]
    is_text = any(isinstance(label, str) for label in classes)
    return array if is_text else array.astype(np.int64)


def check_length(y: Any, rows: int) -> None:
    """Refuse another number of labels or values than rows; raises :class:`ConversionError`."""
    received = len(y) if isinstance(y, list | tuple) or np.ndim(y) else "one value"
    if received != rows:
        raise ConversionError(f"y: expected {rows} values, one for each row of X; got {received}")


def refuse_other_order(
    truth: NDArray[Any], chosen: NDArray[Any], classes: tuple[Label, ...]
) -> None:
    """Refuse labels that would be right if the classes stood in another order.

    Args:
        truth: true labels [N].
        chosen: column with the largest score of each row, [N].
        classes: labels in the order of the columns.

    Raises:
        ConversionError: most are right in another order, and at most half as many in this one.
    """
    places = {label: i for i, label in enumerate(classes)}
    wanted = np.array([places[label] for label in truth], np.int64)
    right, rows = int((chosen == wanted).sum()), len(truth)
    if rows < LEAST or right >= rows / 2:
        return
    order = _usual_order(chosen, wanted, len(classes))
    if order is None:
        order = _best_order(chosen, wanted, len(classes))
    if order is not None:
        other = int((order[chosen] == wanted).sum())
        named = [classes[place] for place in order[:10]]
        raise ConversionError(
            f"classes, y: {right / rows:.1%} of the labels are right, {other / rows:.1%} would be "
            f"with the classes in the order {named}; give classes= in the order of the columns"
        )


def _usual_order(
    chosen: NDArray[Any], wanted: NDArray[np.int64], count: int
) -> NDArray[np.int64] | None:
    """Return the order that most labels have, of those that come of counting or sorting otherwise.

    They are few, so that a model that guesses has none of them.
    """
    numbers = np.arange(count)
    shift = np.bincount((wanted - chosen) % count, minlength=count).argmax()
    as_text = np.argsort(numbers.astype(str), kind="stable")  # 0, 1, 10, 11, 2
    orders = ((numbers + shift) % count, numbers[::-1], as_text, np.argsort(as_text))
    shares = [float((order[chosen] == wanted).mean()) for order in orders]
    best = int(np.argmax(shares))
    right = float((chosen == wanted).mean())
    is_other = shares[best] >= MOST and right <= shares[best] / 10 and count > 2
    return orders[best].astype(np.int64) if is_other else None


def _best_order(
    chosen: NDArray[Any], wanted: NDArray[np.int64], count: int
) -> NDArray[np.int64] | None:
    """Return the order in which the most labels are right, if that is no accident."""
    counts = np.zeros((count, count), np.int64)
    np.add.at(counts, (chosen.astype(np.int64), wanted), 1)
    most = int(min(counts.max(axis=0).sum(), counts.max(axis=1).sum()))  # of any order
    if not _is_no_accident(counts, most):
        return None
    # Here, not above: it is 30 MiB of packages, and hardly a model comes this far.
    from scipy.optimize import linear_sum_assignment

    columns, labels = linear_sum_assignment(counts, maximize=True)
    found = _is_no_accident(counts, int(counts[columns, labels].sum()))
    return np.asarray(labels, np.int64) if found else None


def _is_no_accident(counts: NDArray[np.int64], other: int) -> bool:
    """Return whether so many labels that are right in another order show that it is the true one.

    Args:
        counts: rows by column of the largest score and true label, [classes, classes].
        other: rows that are right in the other order.
    """
    rows, right = int(counts.sum()), int(np.trace(counts))
    # A model that always says the same would be right as often with one other label.
    constant = int(counts.sum(axis=0).max())
    if other < MOST * rows or 2 * right > other or other - constant < 0.1 * rows:
        return False
    # Of all orders one may fit by accident: Chernoff's bound of one, times their number.
    chance = math.lgamma(len(counts) + 1) - rows * _divergence(other / rows, constant / rows)
    return chance < math.log(SURE)


def _divergence(share: float, expected: float) -> float:
    """Return the relative entropy of a share from the one that is expected below it."""
    if share >= 1:
        return -math.log(expected)
    rest = (1 - share) * math.log((1 - share) / (1 - expected))
    return share * math.log(share / expected) + rest


def coded_sets(y: Any, classes: tuple[Label, ...], rows: int) -> NDArray[np.bool_]:
    """Return labels of a multilabel model as a table [rows, classes].

    Args:
        y: a table of zeros and ones [rows, classes], or for each row a list of its labels.
        classes: labels in the order of the columns.
        rows: that there must be.

    Raises:
        ConversionError: ``y`` is neither.
    """
    check_length(y, rows)
    try:
        array = np.asarray(y)
    except ValueError:  # lists of different lengths
        array = np.empty(0, object)
    if array.dtype.kind in "biuf" and array.ndim == 2:
        if array.shape[1] != len(classes) or not np.isin(array, (0, 1)).all():
            raise ConversionError(
                f"y: expected zeros and ones in {len(classes)} columns, one for each class; got "
                f"shape {array.shape}"
            )
        return array.astype(bool)
    places = {str(label): i for i, label in enumerate(classes)}
    made = np.zeros((rows, len(classes)), bool)
    for i, labels in enumerate(y):
        if isinstance(labels, str) or not hasattr(labels, "__iter__"):
            raise ConversionError(
                "y: expected a table [rows, classes] of zeros and ones, or a list of labels for "
                f"each row; y[{i}] is {labels!r:.60}"
            )
        for label in labels:
            if str(label) not in places:
                raise ConversionError(f"y: expected labels of {_some(classes)}; got {label!r}")
            made[i, places[str(label)]] = True
    return made


def coded_values(y: Any, answers: NDArray[Any]) -> NDArray[np.float64]:
    """Return values as numbers of the shape of ``answers`` [rows, columns].

    Raises:
        ConversionError: another shape, or one that is no finite number.
    """
    check_length(y, len(answers))
    try:
        values = np.asarray(y, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ConversionError(f"y: expected numbers, as the model gives; {error}") from error
    if values.size != answers.size:
        raise ConversionError(
            f"y: expected {answers.shape[1]} values for each row, as many as the model gives; got "
            f"shape {values.shape}"
        )
    bad = np.argwhere(~np.isfinite(values.reshape(len(values), -1)))
    if len(bad):
        raise ConversionError(
            f"y: expected finite numbers, y[{int(bad[0][0])}] is missing or endless"
        )
    return values.reshape(answers.shape)
