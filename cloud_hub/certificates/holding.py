"""Whether variants of a release keep what its certificate says, on rows that it was not made on.

Pure: answers come in, a verdict comes out, by the arithmetic of the certificate itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Invalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from converters.certification.reference import Reference
    from edge_sdk.contract.certificate import VariantResult
    from edge_sdk.model.release import Feed, Release

PLAIN: Final = "float32"
JUDGED: Final = ("label", "value", "labels")
"""Outputs of which a score is computed."""


@dataclass(frozen=True)
class VariantHeld:
    """One variant on the rows.

    Attributes:
        name: of the variant.
        bytes: of its file.
        label_flips: share of rows whose label differs from the reference variant's.
        max_difference: largest difference of a number from the reference variant's.
        mean_difference: mean over rows of the largest difference in each.
        score: accuracy or R² on the rows; ``None`` without labels.
        flips_bound: share of labels of which surely no more differ.
        score_bound: accuracy that it surely has.
        certified_score: score in its certificate, on the rows of then.
        certified_bound: accuracy that its certificate says it surely has.
        reason: why it does not hold; empty if it does.
    """

    name: str
    bytes: int
    label_flips: float
    max_difference: float
    mean_difference: float
    score: float | None
    flips_bound: float | None
    score_bound: float | None
    certified_score: float | None
    certified_bound: float | None
    reason: str


@dataclass(frozen=True)
class HeldCertificate:
    """All variants of a release on the same rows.

    Attributes:
        model: name of the model.
        version: its version.
        digest: of the release.
        rows: that were answered.
        reference: the variant that the others are held to.
        confidence: of the bounds of all variants together.
        variants: in the order of the release.
    """

    model: str
    version: str
    digest: str
    rows: int
    reference: str
    confidence: float
    variants: tuple[VariantHeld, ...]

    @property
    def holds(self) -> bool:
        """Whether every variant keeps what it was certified for."""
        return not any(variant.reason for variant in self.variants)


def held(
    release: Release, answers: Mapping[str, Feed], truth: NDArray[Any] | None, rows: int
) -> HeldCertificate:
    """Hold the variants of a release to each other and to their certificates.

    Args:
        release: with its certificates.
        answers: outputs by name, of each variant by its name.
        truth: labels or values [N]; ``None`` if they are not known.
        rows: that were answered.

    Raises:
        Invalid: labels that do not fit the answers.
        ReleaseError: a certificate is missing.
    """
    from converters.certification.exact_bounds import CONFIDENCE
    from converters.certification.reference import Reference

    against = reference_of(release)
    own = _by_role(release, answers[against])
    roles: dict[str, str] = {role: role for role in JUDGED if role in own}
    truth = truth if set(roles) & {"label", "value"} else None
    if truth is not None and len(truth) != rows:
        raise Invalid(f"rows: expected {rows:,} labels, got {len(truth):,}")
    reference = Reference(own, truth, roles)
    alpha = (1 - CONFIDENCE) / len(release.variants)
    found = tuple(
        _held(each, reference, _by_role(release, answers[each.variant.name]), against, alpha)
        for each in release.variants
    )
    manifest = release.manifest
    return HeldCertificate(
        manifest.model, manifest.version, release.digest, rows, against, CONFIDENCE, found
    )


def reference_of(release: Release) -> str:
    """Return the variant that others are held to: the one that computes as the model itself does,
    the first where there is none.
    """
    names = [each.variant.name for each in release.variants]
    exact = [each.variant.name for each in release.variants if each.variant.precision == PLAIN]
    return PLAIN if PLAIN in names else (exact or names)[0]


def _held(
    release: Release, reference: Reference, answers: Feed, against: str, alpha: float
) -> VariantHeld:
    from converters.certification.measure import judge
    from converters.certification.parity import Tolerances

    certificate, name = release.certificate(), release.variant.name
    row = next((each for each in certificate.variants if each.name == name), None)
    difference, counts = reference.difference(answers), reference.counts(answers)
    score = reference.score_of(answers)
    # A newer certificate may name tolerances that are not known here.
    known = {field.name for field in fields(Tolerances)}
    tolerances = Tolerances(**{n: v for n, v in certificate.tolerances.items() if n in known})
    reason = ""
    if name != against:
        reason = judge(difference, counts, score, reference.score, tolerances, alpha)
    return VariantHeld(
        name, release.model_path.stat().st_size,
        difference.label_flips, difference.maximum, difference.mean, score,
        counts.flips_bound(alpha), counts.score_bound(alpha),
        None if row is None else row.score, None if row is None else row.score_bound,
        reason or _worse(row, counts.right, counts.rows, alpha),
    )  # fmt: skip


def _worse(row: VariantResult | None, right: int | None, rows: int, alpha: float) -> str:
    """Return that the rows show less accuracy than was certified; empty if they do not."""
    from converters.certification.exact_bounds import upper_bound

    if row is None or row.score_bound is None or right is None:
        return ""
    most = upper_bound(right, rows, alpha)
    if most >= row.score_bound:
        return ""
    return (
        f"accuracy is at most {most:.2%} on rows like these, and was certified to be at least "
        f"{row.score_bound:.2%}"
    )


def _by_role(release: Release, answers: Feed) -> Feed:
    """Return answers under the names that the certificate's arithmetic knows."""
    signature = release.manifest.signature
    outputs = signature.outputs
    names = {spec.name: spec.name if spec.role == "other" else spec.role for spec in outputs}
    found = {names.get(name, name): array for name, array in answers.items()}
    if len(found) < len(answers):  # two outputs of one role
        found = dict(answers)
    if "scores" in found and "label" not in found:
        found["labels"] = found["scores"] >= signature.threshold
    return found
