"""The parity gate: float32 answers as the estimator does on every kind of row, or no release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np

from converters.certification import boundary_rows, parity
from converters.certification.answering import answers_to
from converters.certification.text_categories import text_columns
from converters.errors import ParityError
from converters.estimators.fitted_estimator import FittedEstimator
from converters.samples.rows import Rows
from edge_sdk.contract.manifest import Column, Signature
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema

Ask = Callable[[Rows], Feed]
"""Answers of an exported model to rows, by output name."""

MISSING: Final = "missing"
"""Key of ``manifest.training``: ``allowed``, or why the release takes no missing values."""


@dataclass(frozen=True)
class ParityGate:
    """Comparison of releases with the estimator that they were made from.

    Attributes:
        original: the estimator.
        check: rows that it answers.
        expected: its answers to them.
        limit: the largest difference that counts as rounding.
        training: rows that it was trained on, if they are known. Thresholds are taken from them, so
            they stand where a rounding decides.
    """

    original: FittedEstimator
    check: Rows
    expected: Feed
    limit: float
    training: Rows | None = None

    def pass_or_refuse(self, release: Release) -> dict[str, str]:
        """Hold ``release`` to the original; return entries for ``manifest.training``.

        Raises:
            ParityError: it answers differently; the message shows the worst rows.
        """
        ask = partial(answers_of, release)
        self._hold_exactly(ask)
        training = self._missing_values(ask)
        if self._is_argmax(release):
            training["label"] = "argmax"
        return training

    def agrees(self, ask: Ask) -> bool:
        """Return whether an exported model answers as the original on all rows without holes."""
        try:
            self._hold_exactly(ask)
            self._missing_values(ask)
        except ParityError:
            return False
        return True

    def _hold_exactly(self, ask: Ask) -> None:
        for case, rows, expected in self._exact_cases:
            self._hold(ask, case, rows, expected)

    @cached_property
    def _exact_cases(self) -> list[tuple[str, Rows, Feed]]:
        """Rows on which the answers must agree: check rows, one alone, corners, thresholds."""
        corners = boundary_rows.corners(self.check)
        others = [
            # One row alone: some graphs broadcast or squeeze the batch axis only then.
            ("one row", self.check.take([0])),
            *([] if corners is None else [("rows of extremes", corners)]),
            *([] if self.training is None else [("training rows", self.training)]),
            *boundary_rows.of_trees(self.training or self.check, self.original.estimator),
            *boundary_rows.behind_transforms(self.training or self.check, self.original),
        ]
        answered = [(case, rows, self.original.answers_if_any(rows)) for case, rows in others]
        # Rows that the original itself refuses (an encoder without that category) prove nothing.
        return [
            ("check rows", self.check, self.expected),
            *((case, rows, truth) for case, rows, truth in answered if truth is not None),
        ]

    def _hold(self, ask: Ask, case: str, rows: Rows, expected: Feed) -> None:
        try:
            answers = ask(rows)
        except Exception as error:  # what the runtime raises has no class of its own
            raise ParityError(f"{case}: the exported model does not run; {error}") from error
        for name, truth in expected.items():
            if answers[name].shape != truth.shape:
                raise ParityError(
                    f"{case}: the exported model gives {name!r} of shape {answers[name].shape}, "
                    f"the original {truth.shape}"
                )
        # Relative to the spread over all check rows: a single row has none of its own.
        difference = parity.compare(answers, expected, parity.spreads_of(self.expected))
        if difference.label_flips > 0 or difference.maximum > self.limit:
            reason = parity.refusal(difference, answers, expected, self.limit)
            raise ParityError(f"{case}: {reason}")

    def _missing_values(self, ask: Ask) -> dict[str, str]:
        """Allow missing values only if the original takes them and the export agrees.

        Raises:
            ParityError: it does not agree, and the check rows have missing values.
        """
        if self._rows_with_holes is None:
            return {}
        try:
            self._hold(ask, "rows with missing values", *self._rows_with_holes)
        except ParityError:
            if boundary_rows.has_missing(self.check):
                raise
            return {MISSING: "refused: the exported model treats missing values differently"}
        return {MISSING: "allowed"}

    @cached_property
    def _rows_with_holes(self) -> tuple[Rows, Feed] | None:
        """Rows with missing values and the original's answers to them, if it gives any."""
        rows = boundary_rows.with_holes(self.check)
        expected = None if rows is None else self.original.answers_if_any(rows)
        return None if rows is None or expected is None else (rows, expected)

    def columns(self, release: Release) -> tuple[Column, ...]:
        """Return the columns with what each text column may hold.

        See :mod:`converters.certification.text_categories`.

        Raises:
            ParityError: it answers differently from the original to texts that both take.
        """
        ask = partial(answers_of, release)
        return text_columns(
            self.original,
            self.check,
            lambda case, rows: self._hold(ask, case, rows, self.original.answers(rows)),
        )

    def _is_argmax(self, release: Release) -> bool:
        """Return whether the label is the class of the largest probability on every check row."""
        if not {"label", "probabilities"} <= set(self.expected):
            return False
        classes = np.asarray(self.original.classes, dtype=object)
        answers = answers_of(release, self.check)
        likeliest = classes[answers["probabilities"].argmax(axis=1)].astype(str)
        return bool((likeliest == answers["label"].astype(str)).all())


def answers_of(release: Release, rows: Rows) -> Feed:
    """Return the answers of the device's runtime to ``rows``; missing values go in as they are."""
    signature = release.manifest.signature
    feed = InputSchema(signature, missing=True).batch(rows.for_device())
    return with_labels(answers_to(release, feed), signature)


def with_labels(answers: Feed, signature: Signature) -> Feed:
    """Return answers with the ``labels`` that a device gives, where there may be several a row."""
    scores = signature.output("scores")
    if scores is None:
        return answers
    return {**answers, "labels": answers[scores.name] >= signature.threshold}
