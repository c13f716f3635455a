"""The fit of a prior as a worker gets it, and what it leaves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edge_sdk.personalise.basis import bases_of

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.contract.personal.prior import PersonalPrior
    from edge_sdk.contract.personal.settings import PersonalSettings

JOB, ROWS, RELEASE, BEFORE = "job.json", "rows", "release", "before.prior"
RESULT, PRIOR = "result.json", "fitted.prior"
JOB_BYTES: Final = 1 << 20
RESULT_BYTES: Final = 1 << 20
REASON: Final = 2_000
"""Characters of a reason that a worker gives."""


@dataclass(frozen=True)
class FitJob:
    """A fit to be made.

    Attributes:
        unit: column of the units' names.
        label: column of the labels.
        cohort: column, and attribute of devices, of cohorts; ``None`` without.
        half_life_labels: of the policy; ``None``: as the fit finds best.
        half_life_days: likewise.
    """

    unit: str
    label: str
    cohort: str | None = None
    half_life_labels: float | None = None
    half_life_days: float | None = None


@dataclass(frozen=True)
class FitResult:
    """End of a fit.

    Attributes:
        reason: why there is no prior; empty if there is one.
        rows: that were looked at.
        rows_given: in the file.
        units: in the file.
        gain: accuracy that units gained which were left out of a fit.
        p: of the test that they gained nothing.
        verdict: in words.
        said: what was left out, and what became of the units' states, in sentences.
    """

    reason: str = ""
    rows: int = 0
    rows_given: int = 0
    units: int = 0
    gain: float = 0.0
    p: float = 1.0
    verdict: str = ""
    said: tuple[str, ...] = ()

    @property
    def figures(self) -> Mapping[str, float]:
        """Numbers of the fit, for records."""
        return {
            "rows": self.rows,
            "rows_given": self.rows_given,
            "units": self.units,
            "gain": self.gain,
            "p": self.p,
        }


def with_half_lives(
    settings: PersonalSettings, labels: float | None, days: float | None
) -> PersonalSettings:
    """Return settings with the half-lives that a policy says; ``None`` leaves one as it is."""
    return replace(
        settings,
        half_life=settings.half_life if labels is None else labels,
        half_life_days=settings.half_life_days if days is None else days,
    )


def may_keep_basis(before: PersonalPrior, then: Manifest, now: Manifest) -> bool:
    """Return whether a new prior may keep the space of one before, and so the units' states.

    Only columns of a table mean the same in another version; an embedding is another one after
    every training, and so are probabilities.

    Args:
        before: prior of the version before, or an earlier one of this version.
        then: manifest of that version.
        now: manifest of the version that gets a prior.
    """
    if then == now:
        return before.basis == bases_of(now)[0]
    if then.signature.classes != now.signature.classes:
        return False
    if before.number is not None:
        return bases_of(now)[:1] == ("outputs",) and not now.signature.classes
    same_columns = then.signature.columns == now.signature.columns
    return before.basis == "features" and same_columns and bases_of(now)[:1] == ("features",)
