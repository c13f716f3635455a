"""The gate: float32 answers as the original does on every kind of row, or there is no release."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from converters.certification import boundary_rows, parity
from converters.certification.text_categories import text_columns
from converters.errors import ParityError
from converters.estimators.fitted_estimator import FittedEstimator
from converters.samples.rows import Rows
from edge_sdk.contract.manifest import Column
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model

MISSING: Final = "missing"
"""Key of ``manifest.training``: ``allowed``, or why the release takes no missing values."""


@dataclass(frozen=True)
class Gate:
    """The original, its check rows, and what it answers to them.

    ``limit`` is the largest difference that counts as rounding.
    """

    original: FittedEstimator
    check: Rows
    expected: Feed
    limit: float

    def pass_or_refuse(self, release: Release) -> dict[str, str]:
        """Hold ``release`` to the original; entries for ``manifest.training`` if it passes.

        Raises:
            ParityError: it answers differently; the message shows the worst rows.
        """
        for what, rows, truth in self._exact:
            self._hold(release, what, rows, truth)
        learned = self._missing(release)
        if self._is_argmax(release):
            learned["label"] = "argmax"
        return learned

    @cached_property
    def _exact(self) -> list[tuple[str, Rows, Feed]]:
        """Rows on which the answers must agree: check rows, one alone, corners, thresholds."""
        corners = boundary_rows.corners(self.check)
        others = [
            ("one row", self.check.take([0])),
            *([] if corners is None else [("rows of extremes", corners)]),
            *boundary_rows.of_trees(self.check, self.original.estimator),
        ]
        told = [(what, rows, self.original.answers_if_any(rows)) for what, rows in others]
        return [
            ("check rows", self.check, self.expected),
            *((what, rows, truth) for what, rows, truth in told if truth is not None),
        ]

    def _hold(self, release: Release, what: str, rows: Rows, truth: Feed) -> None:
        found = answers(release, rows)
        for name, expected in truth.items():
            if found[name].shape != expected.shape:
                came = f"{name!r} of shape {found[name].shape}, the original {expected.shape}"
                raise ParityError(f"{what}: the exported model gives {came}")
        difference = parity.compare(found, truth, parity.spreads_of(self.expected))
        if difference.label_flips > 0 or difference.maximum > self.limit:
            raise ParityError(f"{what}: {parity.refusal(difference, found, truth, self.limit)}")

    def _missing(self, release: Release) -> dict[str, str]:
        """Missing values are allowed only if the original takes them and the export agrees.

        Raises:
            ParityError: it does not agree, and the check rows have missing values.
        """
        if self._holed is None:
            return {}
        try:
            self._hold(release, "rows with missing values", *self._holed)
        except ParityError:
            if boundary_rows.has_missing(self.check):
                raise
            return {MISSING: "refused: the exported model treats missing values differently"}
        return {MISSING: "allowed"}

    @cached_property
    def _holed(self) -> tuple[Rows, Feed] | None:
        """Rows with missing values and what the original answers, if it does."""
        rows = boundary_rows.with_holes(self.check)
        truth = None if rows is None else self.original.answers_if_any(rows)
        return None if rows is None or truth is None else (rows, truth)

    def columns(self, release: Release) -> tuple[Column, ...]:
        """The columns with what each text column may hold; see
        :mod:`converters.certification.text_categories`.

        Raises:
            ParityError: it answers differently from the original to texts that both take.
        """
        return text_columns(
            self.original,
            self.check,
            lambda what, rows: self._hold(release, what, rows, self.original.answers(rows)),
        )

    def _is_argmax(self, release: Release) -> bool:
        """Whether the label is the class of the largest probability on every check row."""
        if not {"label", "probabilities"} <= set(self.expected):
            return False
        classes = np.asarray(self.original.classes, dtype=object)
        found = answers(release, self.check)
        named = classes[found["probabilities"].argmax(axis=1)].astype(str)
        return bool((named == found["label"].astype(str)).all())


def answers(release: Release, rows: Rows) -> Feed:
    """What the device's runtime answers to ``rows``; missing values go in as they are."""
    schema = InputSchema(release.manifest.signature, missing=True)
    return Model.load(release).run(schema.batch(rows.for_device()))
