"""What is known of a release when it is written, as both documents need it. Pure.

Nothing is made up: what nobody measured or said is named as unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.certificate import Certificate, GroupResult, VariantResult
from edge_sdk.contract.manifest import Manifest
from edge_sdk.contract.profile import ReferenceProfile

FEW_ROWS: Final = 100
"""A group with fewer check rows is named: its figures say little."""

SCORES: Final = {
    "classification": "accuracy",
    "multilabel": "share of rows whose labels are all right",
    "regression": "R²",
}
"""Names of the scores, by task."""

CONVERTERS: Final = ("onnx", "onnxruntime", "onnxscript", "python", "skl2onnx")
"""Tools of the conversion; all others are of the model itself."""

WORSE: Final = 0.02
"""A group is named where its score is lower than that of all rows by more than this."""


@dataclass(frozen=True)
class ReleaseFacts:
    """A release before it is written.

    Attributes:
        manifest: with the length and SHA-256 of every file but the documents.
        certificate: of the variant that was chosen.
        profile: of the training data, and of the answers.
        purpose: what the model is for; empty if nobody said.
        limits_of_use: what it must not be used for, as its makers said.
        data_given: the fingerprint is of the training data; else of the check rows.
    """

    manifest: Manifest
    certificate: Certificate
    profile: ReferenceProfile
    purpose: str = ""
    limits_of_use: tuple[str, ...] = ()
    data_given: bool = True

    @property
    def chosen(self) -> VariantResult:
        """The certificate's row of the variant that was chosen."""
        rows = {row.name: row for row in self.certificate.variants}
        return rows[self.certificate.chosen]

    @property
    def score_name(self) -> str:
        """Name of the score of this task."""
        return SCORES.get(self.manifest.task, "score")

    @property
    def frameworks(self) -> dict[str, str]:
        """Versions of the libraries that the model itself was made with."""
        tools = self.certificate.tools
        return {name: version for name, version in tools.items() if name not in CONVERTERS}

    def limits(self) -> list[str]:
        """Return the limits of use, a sentence each: those that were said, then those found."""
        found = (self._of_evidence, self._of_inputs, self._of_groups, self._of_device)
        return [*self.limits_of_use, *(sentence for part in found for sentence in part())]

    def _of_evidence(self) -> Iterator[str]:
        rows = self.certificate.rows
        yield (
            f"Every figure is from {rows:,} check rows, and holds for rows that are drawn like "
            "them. For other rows nothing is promised."
        )
        if self.certificate.original_score is None:
            yield (
                "No answer was compared with a true one, so how often the model itself is right is "
                "unknown; only that the file answers as the model does was checked."
            )
        cascade = self.manifest.cascade
        if cascade is not None:
            yield (
                f"Below {cascade.threshold:g} ({cascade.metric}) an answer is not certified to "
                "stand without the cloud model."
            )

    def _of_inputs(self) -> Iterator[str]:
        if self.profile.watched:
            names = ", ".join(f"`{watched.tensor}`" for watched in self.profile.watched)
            yield (
                f"Inputs {names} whose statistics lie outside the ranges below were not in the "
                "data that the profile describes. The statistics tell little of what is seen or "
                "heard: an input within all ranges may still be of another kind."
            )
        elif self.profile.features:
            yield (
                "Values outside the ranges below, and texts that are not listed, were not in the "
                "data that the profile describes."
            )
        else:
            yield (
                "Nothing is known of the range of its inputs (they are no table, and the rows were "
                "too few for statistics), so a drift of them is not seen."
            )
        missing = self.manifest.training.get("missing", "allowed")
        if missing != "allowed":
            yield f"Missing values: {missing}."
        fitted = [c.name for c in self.manifest.signature.columns if c.categories is not None]
        if fitted:
            yield f"It was fitted on a closed list of texts in {_listed(fitted)}."

    def _of_groups(self) -> Iterator[str]:
        groups = self.certificate.groups
        if not groups:
            yield "No groups of rows were declared: whether some are served worse is unknown."
        few = [name_of(g) for g in groups if g.rows < FEW_ROWS]
        if few:
            yield f"Fewer than {FEW_ROWS} check rows are in {_listed(few)}: little is known there."
        score = self.chosen.score
        for g in groups:
            if score is not None and g.score is not None and g.score < score - WORSE:
                yield (
                    f"{name_of(g)} is served worse: {self.score_name} {g.score:.4f}, of all rows "
                    f"{score:.4f}."
                )

    def _of_device(self) -> Iterator[str]:
        budget = self.manifest.budget
        limits = []
        if budget.p99_ms is not None:
            limits.append(f"more than {budget.p99_ms:g} ms a row (99th percentile)")
        if budget.rss_mb is not None:
            limits.append(f"more than {budget.rss_mb:g} MiB of memory")
        if limits:
            yield f"A device on which it takes {' or '.join(limits)} does not activate it."
        yield (
            "Times were measured on the machine that made the release; edge-convert verify and "
            "edge bench measure others."
        )


def name_of(group: GroupResult) -> str:
    """Return column and group as ``sex=f``."""
    return f"{group.column}={group.group}" if group.column else group.group


def _listed(names: list[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
