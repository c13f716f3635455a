"""What a release holds, for people: its files, and the words and figures of their certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_hub.registry.service import VersionRecord
    from edge_sdk.model.release import Release


@dataclass(frozen=True)
class VariantReport:
    """One model file of a release.

    Attributes:
        name: of the variant.
        precision: number type in which it computes.
        target: kind of machine that it was made for; ``any`` for all.
        provider: execution provider that a device needs to take it.
        file: name of the ONNX file.
        bytes: of that file.
        because: why it is in the release, in the words of its certificate.
        score: against true answers, ``None`` where none were given.
        score_bound: that the score is at least this.
        label_flips: share of the labels that differ from the trained model's.
        flips_bound: that this share is at most this.
        max_difference: the largest difference of a number from the trained model's.
        row_us: microseconds a row, on the machine that made the release.
    """

    name: str
    precision: str
    target: str
    provider: str
    file: str
    bytes: int
    because: str
    score: float | None = None
    score_bound: float | None = None
    label_flips: float | None = None
    flips_bound: float | None = None
    max_difference: float | None = None
    row_us: float | None = None


@dataclass(frozen=True)
class ReleaseReport:
    """A version with its variants, the chosen one first.

    ``rows`` are the check rows of the certificates and ``confidence`` that of their bounds;
    ``not_chosen`` says by name why each other variant is not the choice, those included that are
    not in the release.
    """

    version: VersionRecord
    task: str
    licence: str | None
    rows: int
    confidence: float | None
    variants: tuple[VariantReport, ...]
    not_chosen: Mapping[str, str]


def release_report(record: VersionRecord, release: Release) -> ReleaseReport:
    """Read manifest and certificates of a release.

    Args:
        record: the version.
        release: its folder, with the files of every variant.

    Raises:
        ReleaseError: a certificate is missing, or differs from the manifest.
    """
    manifest, chosen = release.manifest, release.certificate()
    return ReleaseReport(
        record,
        manifest.task,
        manifest.licence,
        chosen.rows,
        chosen.confidence,
        tuple(_variant(each) for each in release.variants),
        chosen.not_chosen,
    )


def _variant(release: Release) -> VariantReport:
    variant, certificate = release.variant, release.certificate()
    known = VariantReport(
        variant.name,
        variant.precision,
        variant.target,
        variant.provider,
        variant.model,
        release.manifest.files[variant.model].length,
        certificate.because,
    )
    # A release made by other means may have a certificate without measurements.
    measured = next((row for row in certificate.variants if row.name == variant.name), None)
    if measured is None:
        return known
    return replace(
        known,
        score=measured.score,
        score_bound=measured.score_bound,
        # Without a bound, answers were no labels.
        label_flips=None if measured.flips_bound is None else measured.label_flips,
        flips_bound=measured.flips_bound,
        max_difference=measured.max_difference,
        row_us=measured.row_us,
    )
