"""Candidates one after the other: built, held to the model, then timed side by side.

Invariants:

* A candidate that fails is left out with its reason, whatever the error: the conversion goes on
  with the others, since float32 works already.
* Nothing is begun after the time for the search is over; what was not tried is left out as well.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from converters.certification import measure, speed
from converters.certification.budget import BudgetTerms
from converters.certification.choice import PLAIN, Choice, choose
from converters.certification.measure import OPTIMISED
from converters.certification.parity import Difference
from converters.certification.reference import Reference
from converters.certification.report import results_table
from converters.certification.row_counts import RowCounts
from converters.certification.search import SearchPlan
from converters.certification.settling import MeasuredTimes, settled
from converters.errors import BudgetExceeded, ParityError, first_line
from converters.memory import trim
from converters.pipeline.candidates import Announce, Candidates, LeftOut, NothingSmaller
from converters.quantization.guide import Guide
from converters.quantization.variants import FROM_THE_EXPORT
from converters.sources.model_source import ModelSource
from edge_sdk.contract.certificate import VariantResult
from edge_sdk.errors import EdgeError
from edge_sdk.model.release import Release

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """How far a candidate is from the model, and why it is refused; empty if it is not."""

    difference: Difference
    counts: RowCounts
    score: float | None
    reason: str


@dataclass
class VariantSearch:
    """The search for a smaller file.

    Attributes:
        candidates: makes them.
        source: the model.
        plan: what is tried, and what it may differ by.
        reference: the model's own answers.
        verified: what :meth:`ModelSource.verify` returned for float32.
        announce: reports each step.
        over: whether the time for the search is over.
        releases: candidates that answer, by name of the variant.
        left_out: why others are none, by name of the variant.
    """

    candidates: Candidates
    source: ModelSource
    plan: SearchPlan
    reference: Reference
    verified: Mapping[str, str]
    announce: Announce
    over: Callable[[], bool]
    releases: dict[str, Release] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _verdicts: dict[str, Held] = field(default_factory=dict)

    def run(self, float32: Release) -> dict[str, VariantResult]:
        """Try every variant of the plan.

        Args:
            float32: the exported model, which was held to the original already.

        Returns:
            One row of the certificate for each candidate that answers, by name.
        """
        self.releases[PLAIN] = float32
        self._trim()  # what comparing float32 took
        self._verdicts[PLAIN] = self._verdict(PLAIN, float32)
        guide = Guide(self.source.calibration(), self._badness, self.over)
        base = float32
        for name in self.plan.variants[1:]:
            self._try(name, float32 if name in FROM_THE_EXPORT else base, guide)
            if name == OPTIMISED and name in self.releases and not self._verdicts[name].reason:
                base = self.releases[name]
        speeds = speed.measure(
            self.releases, self.source.timed(), lambda name: self.announce(f"measuring {name}")
        )
        results = {name: self._result(name, speeds[name]) for name in self.releases}
        if self.over():
            return results
        return settled(results, self._measure_again, self.plan.limits, self._terms)

    def _measure_again(self, names: Sequence[str]) -> Mapping[str, MeasuredTimes]:
        releases = {name: self.releases[name] for name in names}
        return speed.measure(
            releases, self.source.timed(), lambda name: self.announce(f"measuring {name} again")
        )

    @property
    def _terms(self) -> BudgetTerms:
        return BudgetTerms(self.reference.score, self.source.rows, self.plan.alpha)

    def _try(self, name: str, base: Release, guide: Guide) -> None:
        try:
            if self.over():
                raise LeftOut(f"not tried: {self.plan.seconds:g} seconds were over")
            release = self.candidates.build(name, base, guide)
            self.announce(f"built {name}, comparing its answers")
            verdict = self._verdict(name, release)
            if not math.isfinite(verdict.difference.maximum):  # and no row of a certificate
                raise LeftOut("gives infinite or no numbers where the model gives others")
            self._verdicts[name] = verdict
        except NothingSmaller:
            log.info("variant %s: this model has nothing that it could make smaller", name)
        except LeftOut as error:
            self._leave_out(name, str(error))
        except EdgeError as error:
            self._leave_out(name, f"does not run: {first_line(error)}")
        else:
            self.releases[name] = release
        finally:
            self._trim()

    def _trim(self) -> None:
        trim(self.releases[PLAIN].model_path.stat().st_size)

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = reason
        self.announce(f"left out {name}: {reason}", logging.WARNING)

    def _verdict(self, name: str, release: Release) -> Held:
        answers, reference = self.source.run(release), self.reference
        difference, counts = reference.difference(answers), reference.counts(answers)
        score, tolerances = reference.score_of(answers), self.plan.tolerances
        if name == PLAIN:
            reason = ""  # held to the model by ``verify`` already, or it is the model
        elif name in self.source.exact:
            reason = self._inexact(release)
        elif name == OPTIMISED:
            reason = measure.changed(difference, tolerances)
        else:
            alpha = self.plan.alpha
            reason = measure.judge(difference, counts, score, reference.score, tolerances, alpha)
        return Held(difference, counts, score, reason)

    def _inexact(self, release: Release) -> str:
        """Return why a variant that should be exact is not; empty if it is."""
        try:
            same = self.source.verify(release) == self.verified
        except ParityError as error:
            return first_line(error)
        return "" if same else "treats missing values or labels differently from float32"

    def _badness(self, proto: Any) -> float:
        """Return how far out of tolerance a model is: at most 1 is within.

        No flip is no flip: where the rows are too few to show more, better weights do not help.
        """
        with tempfile.TemporaryDirectory() as folder:
            release = self.candidates.write(Path(folder) / "r", "trial", proto)
            answers = self.source.run(release)
        difference, allowed = self.reference.difference(answers), self.plan.tolerances
        counts = self.reference.counts(answers)
        flips = (counts.flips_bound(self.plan.alpha) or 0.0) if counts.flips else 0.0
        # A tolerance of zero would divide by zero; so small a one has the same effect.
        return max(
            flips / max(allowed.flips, 1e-9),
            difference.maximum / max(allowed.probability, 1e-9),
        )

    def _result(self, name: str, measured: speed.Speed) -> VariantResult:
        verdict = self._verdicts[name]
        result = measure.as_result(
            name,
            self.releases[name].model_path,
            verdict.difference,
            verdict.counts,
            verdict.score,
            measured,
            verdict.reason,
            self.plan.alpha,
        )
        log.info("variant %s tried: %d bytes, %s", name, result.bytes, result.reason or "accepted")
        return result

    def choose(self, results: Mapping[str, VariantResult]) -> Choice:
        """Return the best variant within the budget; without one the smallest that is not slower.

        Args:
            results: one row of the certificate for each candidate, by name.

        Raises:
            BudgetExceeded: no variant keeps the budget.
        """
        limits, terms = self.plan.limits, self._terms
        chosen = choose(results, limits, terms)
        if chosen is None:
            table = results_table(results, limits, terms, self.left_out)
            raise BudgetExceeded("budget: no variant keeps it", table)
        return replace(chosen, not_chosen={**chosen.not_chosen, **self.left_out})
