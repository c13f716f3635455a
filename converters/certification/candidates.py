"""The files that are tried: built for the target, held to the original, measured side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification import measure, parity
from converters.certification.parity_gate import Gate, answers
from converters.certification.search import SearchPlan
from converters.errors import ConversionError, ParityError
from converters.onnx_export.serialise import to_bytes
from converters.quantization.variants import EXACT, VARIANTS, Guide
from converters.release_spec import UNWRITTEN
from converters.samples.groups import DeclaredGroups
from edge_sdk.contract.certificate import GroupResult, VariantResult
from edge_sdk.contract.manifest import MODEL, Manifest, RuntimeNeeds
from edge_sdk.model.release import Feed, Release, write_release
from edge_sdk.model.schema import InputSchema

TIMED_ROWS: Final = 200
CALIBRATION_ROWS: Final = 200
"""Rows that static quantization learns ranges from, spread over the check rows."""

Judged = tuple[float | None, float | None, parity.Difference]
"""The score of the original, that of the file, and how far they are apart."""


@dataclass(frozen=True)
class Candidates:
    """Scratch releases of every variant, made in ``folder``.

    Attributes:
        base: the manifest that all share.
        gate: compares with the original.
        plan: what is tried, and what it may differ by.
        folder: for the scratch releases.
        progress: told of each step.
    """

    base: Manifest
    gate: Gate
    plan: SearchPlan
    folder: Path
    progress: Callable[[str], None]

    def build(self, proto: Any) -> dict[str, Release]:
        """Every variant that this model has and the target can run.

        Raises:
            ConversionError: the target cannot even run float32.
        """
        guide = Guide(self._feeds(), self._badness)
        built = {}
        for name in self.plan.variants:
            made = VARIANTS[name](proto, guide)
            refused = self._refused(made) if made is not None else ""
            if refused and name == "float32":
                raise ConversionError(f"target: {refused}")
            if made is not None and not refused:
                built[name] = self._scratch(self.folder / name, name, made)
            if made is not None:
                self.progress(f"left out {name}: {refused}" if refused else f"built {name}")
        return built

    def _refused(self, proto: Any) -> str:
        target = self.plan.target
        if target is None:
            return ""
        proto.ir_version = min(proto.ir_version, target.ir_version)
        return target.refuses(proto)

    def _scratch(self, folder: Path, name: str, proto: Any) -> Release:
        needs = RuntimeNeeds(proto.ir_version, {e.domain: e.version for e in proto.opset_import})
        files = dict.fromkeys(UNWRITTEN, b"") | {MODEL: to_bytes(proto)}
        return write_release(folder, replace(self.base, variant=name, runtime=needs), files)

    def _feeds(self) -> list[dict[str, Any]]:
        count = len(self.gate.check)
        chosen = np.linspace(0, count - 1, min(CALIBRATION_ROWS, count)).astype(int)
        feed = self._schema().batch(self.gate.check.take(chosen).for_device())
        return [{n: array[i : i + 1] for n, array in feed.items()} for i in range(len(chosen))]

    def _schema(self) -> InputSchema:
        return InputSchema(self.base.signature, missing=True)

    def _badness(self, proto: Any) -> float:
        """How far out of tolerance a model is: at most 1 is within."""
        with tempfile.TemporaryDirectory() as folder:
            release = self._scratch(Path(folder) / "r", "mixed", proto)
            difference = parity.compare(answers(release, self.gate.check), self.gate.expected)
        allowed = self.plan.tolerances
        return max(
            difference.label_flips / max(allowed.flips, 1e-9),
            difference.maximum / max(allowed.probability, 1e-9),
        )

    def measure(
        self, built: dict[str, Release], y: Any, learned: dict[str, str]
    ) -> dict[str, VariantResult]:
        """Time all of them in turns, and hold each to the original."""
        self.progress("measuring " + ", ".join(built))
        some = self.gate.check.take(np.arange(min(TIMED_ROWS, len(self.gate.check))))
        speeds = measure.measure(built, self._schema().batch(some.for_device()))
        original_score = parity.score(self.gate.expected, y)
        results = {}
        for name, release in built.items():
            found = answers(release, self.gate.check)
            difference = parity.compare(found, self.gate.expected)
            score = parity.score(found, y)
            if name in EXACT:
                reason = "" if name == "float32" else _inexact(release, self.gate, learned)
            else:
                allowed = self.plan.tolerances
                reason = measure.judge(difference, score, original_score, allowed)
            raw = release.model_path.read_bytes()
            results[name] = measure.as_result(name, raw, difference, score, speeds[name], reason)
        return results

    def choose(self, results: dict[str, VariantResult], y: Any) -> str | None:
        """The best within the budget; without one the smallest that is not slower."""
        if self.plan.limits is None:
            return measure.choose(results)
        return self.plan.limits.choose(results, parity.score(self.gate.expected, y))

    def groups(
        self, chosen: Release, declared: Sequence[DeclaredGroups], y: Any
    ) -> tuple[GroupResult, ...]:
        """How the chosen file does on the check rows of each group."""
        if not declared:
            return ()
        found, expected = answers(chosen, self.gate.check), self.gate.expected
        spreads = parity.spreads_of(expected)

        def judged(rows: NDArray[np.int64]) -> Judged:
            own, truth = of_rows(found, rows), of_rows(expected, rows)
            some = None if y is None else y[rows]
            difference = parity.compare(own, truth, spreads)
            return parity.score(truth, some), parity.score(own, some), difference

        return group_results(declared, judged)


def of_rows(answers: Feed, rows: NDArray[np.int64]) -> Feed:
    """The answers to the rows at ``rows``."""
    return {name: array[rows] for name, array in answers.items()}


def group_results(
    declared: Sequence[DeclaredGroups], judged: Callable[[NDArray[np.int64]], Judged]
) -> tuple[GroupResult, ...]:
    """What ``judged`` says of the rows of each group."""
    results = []
    for each in declared:
        for name, rows in each.each():
            before, after, far = judged(rows)
            told = GroupResult(
                name, len(rows), before, after, far.label_flips, far.maximum, each.column.name
            )
            results.append(told)
    return tuple(results)


def _inexact(release: Release, gate: Gate, learned: dict[str, str]) -> str:
    """Why a variant that should be exact is not; empty if it is."""
    try:
        same = gate.pass_or_refuse(release) == learned
    except ParityError as error:
        return str(error).splitlines()[0]
    return "" if same else "treats missing values or labels differently from float32"
