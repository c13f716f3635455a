"""Candidate files: built for the target, held to the model, measured side by side.

float32 is built first: it is what the model's own answers are compared with, and what the others
are made from. Each candidate is a release folder of its own in a scratch folder, so that it is
loaded and run exactly as a device would.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from converters.certification import measure
from converters.certification.budget import BudgetTerms
from converters.certification.choice import Choice, choose
from converters.certification.reference import Reference
from converters.certification.report import results_table
from converters.certification.search import SearchPlan
from converters.certification.settling import Timing, settled
from converters.errors import BudgetExceeded, ConversionError, ParityError
from converters.onnx_export.serialise import to_bytes
from converters.quantization.precision import precision_of
from converters.quantization.variants import VARIANTS, Guide
from converters.release_spec import UNWRITTEN, needs_of
from converters.sources.model_source import ModelSource
from edge_sdk.contract.certificate import VariantResult
from edge_sdk.contract.manifest import ANY, MODEL, Manifest, Variant
from edge_sdk.model.release import Release, write_release

log = logging.getLogger(__name__)


class Announce(Protocol):
    """Report of a step, to the log and to the caller."""

    def __call__(self, step: str, level: int = logging.INFO) -> None:
        """Report one line at a level of :mod:`logging`."""


@dataclass(frozen=True)
class Candidates:
    """Scratch releases of every variant, made in ``folder``.

    Attributes:
        base: the manifest that all share.
        source: the model.
        plan: what is tried, and what it may differ by.
        folder: for the scratch releases.
        announce: reports each step.
    """

    base: Manifest
    source: ModelSource
    plan: SearchPlan
    folder: Path
    announce: Announce

    def build_float32(self, proto: Any) -> Release:
        """Build the exported model as it is.

        Raises:
            ConversionError: the target cannot run it.
        """
        refused = self._fit_to_target(proto)
        if refused:
            raise ConversionError(f"target: {refused}")
        self.announce("built float32")
        return self._write(self.folder / "float32", "float32", proto)

    def build_smaller(self, proto: Any, reference: Reference) -> dict[str, Release]:
        """Build every other variant that this model has and the target can run, by name.

        Args:
            proto: the exported model.
            reference: guides the variants that ask how far off they are.
        """
        guide = Guide(self.source.calibration(), lambda made: self._badness(made, reference))
        built = {}
        for name in self.plan.variants[1:]:
            made = VARIANTS[name](proto, guide)
            if made is None:
                log.info("variant %s: this model has nothing that it could make smaller", name)
                continue
            refused = self._fit_to_target(made)
            if refused:
                self.announce(f"left out {name}: {refused}", logging.WARNING)
            else:
                built[name] = self._write(self.folder / name, name, made)
                self.announce(f"built {name}")
        return built

    def _fit_to_target(self, proto: Any) -> str:
        """Lower the IR version to the target's; return why it cannot run ``proto``, or ``""``."""
        target = self.plan.target
        if target is None:
            return ""
        proto.ir_version = min(proto.ir_version, target.ir_version)
        return target.refuses(proto)

    def _write(self, folder: Path, name: str, proto: Any) -> Release:
        target = self.plan.target.name if self.plan.target is not None else ANY
        variant = Variant(name, needs_of(proto), precision_of(proto), target)
        files = dict.fromkeys(UNWRITTEN, b"") | {MODEL: to_bytes(proto)}
        return write_release(folder, replace(self.base, variants=(variant,)), files)

    def _badness(self, proto: Any, reference: Reference) -> float:
        """Return how far out of tolerance a model is: at most 1 is within."""
        with tempfile.TemporaryDirectory() as folder:
            release = self._write(Path(folder) / "r", "mixed", proto)
            answers = self.source.run(release)
        difference, allowed = reference.difference(answers), self.plan.tolerances
        flips = reference.counts(answers).flips_bound(self.plan.alpha) or 0.0
        # A tolerance of zero would divide by zero; so small a one has the same effect.
        return max(
            flips / max(allowed.flips, 1e-9),
            difference.maximum / max(allowed.probability, 1e-9),
        )

    def measure(
        self, built: Mapping[str, Release], reference: Reference, verified: Mapping[str, str]
    ) -> dict[str, VariantResult]:
        """Time all candidates in turns, and hold each to the model.

        Args:
            built: candidates by name of the variant, float32 among them.
            reference: the model's own answers.
            verified: what :meth:`ModelSource.verify` returned for float32.

        Returns:
            One row of the certificate for each candidate, by name.
        """
        self.announce("measuring " + ", ".join(built))
        speeds = measure.measure(built, self.source.timed())
        results = {}
        for name, release in built.items():
            answers = self.source.run(release)
            difference, score = reference.difference(answers), reference.score_of(answers)
            counts, alpha = reference.counts(answers), self.plan.alpha
            if name == "float32":
                reason = ""  # held to the model by ``verify`` already, or it is the model
            elif name in self.source.exact:
                reason = self._inexact(release, verified)
            else:
                reason = measure.judge(
                    difference, counts, score, reference.score, self.plan.tolerances, alpha
                )
            raw = release.model_path.read_bytes()
            results[name] = measure.as_result(
                name, raw, difference, counts, score, speeds[name], reason, alpha
            )
            log.info("variant %s tried: %d bytes, %s", name, len(raw), reason or "accepted")
        return results

    def settle(
        self,
        results: Mapping[str, VariantResult],
        built: Mapping[str, Release],
        reference: Reference,
    ) -> dict[str, VariantResult]:
        """Return the results after what a time decides was measured again.

        Args:
            results: as :meth:`measure` returned them.
            built: candidates by name of the variant.
            reference: the model's own answers.
        """

        def again(names: Sequence[str]) -> Mapping[str, Timing]:
            self.announce("measuring again " + ", ".join(names))
            return measure.measure({name: built[name] for name in names}, self.source.timed())

        return settled(results, again, self.plan.limits, self._terms(reference))

    def _terms(self, reference: Reference) -> BudgetTerms:
        return BudgetTerms(reference.score, self.source.rows, self.plan.alpha)

    def _inexact(self, release: Release, verified: Mapping[str, str]) -> str:
        """Return why a variant that should be exact is not; empty if it is."""
        try:
            same = self.source.verify(release) == verified
        except ParityError as error:
            return str(error).splitlines()[0]
        return "" if same else "treats missing values or labels differently from float32"

    def choose(self, results: Mapping[str, VariantResult], reference: Reference) -> Choice:
        """Return the best variant within the budget; without one the smallest that is not slower.

        Args:
            results: one row of the certificate for each candidate, by name.
            reference: the model's own answers.

        Raises:
            BudgetExceeded: no variant keeps the budget.
        """
        limits = self.plan.limits
        terms = self._terms(reference)
        chosen = choose(results, limits, terms)
        if chosen is None:
            table = results_table(results, limits, terms)
            raise BudgetExceeded("budget: no variant keeps it", table)
        return chosen
