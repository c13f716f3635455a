"""Variants of an existing file: the file itself is the reference, on the samples given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.certification import measure, parity
from converters.certification.parity import Difference
from converters.certification.report import results_table
from converters.certification.search import SearchPlan
from converters.errors import BudgetExceeded, ConversionError
from converters.onnx_export.serialise import to_bytes
from converters.quantization.variants import VARIANTS, Guide
from converters.release_spec import UNWRITTEN
from edge_sdk.contract.certificate import VariantResult
from edge_sdk.contract.manifest import MODEL, Manifest, RuntimeNeeds
from edge_sdk.model.release import Feed, Release, write_release
from edge_sdk.model.session import Model

Score = Callable[[Feed], float | None]


@dataclass(frozen=True)
class OnnxCandidates:
    """What trying variants of a file needs.

    Attributes:
        manifest: of the release.
        feed: the samples, as tensors.
        plan: what is tried.
        score: of answers, if there is something to compare them with.
        progress: told of each step.
    """

    manifest: Manifest
    feed: Feed
    plan: SearchPlan
    score: Score
    progress: Callable[[str], None]

    def run(self, proto: Any) -> tuple[bytes, Manifest, dict[str, VariantResult], Feed, Feed]:
        """The chosen file, its manifest, all results, its answers and those of the file itself.

        Raises:
            BudgetExceeded: no variant keeps the budget.
            ConversionError: the target cannot run the file.
        """
        with tempfile.TemporaryDirectory() as folder:
            plain = self._scratch(Path(folder) / "float32", "float32", proto)
            truth = Model.load(plain).run(self.feed)
            built = {"float32": plain} | self._others(proto, truth, Path(folder))
            results = self._measured(built, truth)
            chosen = built[self._chosen(results, truth)]
            self.progress(f"chose {chosen.manifest.variant}")
            answers = Model.load(chosen).run(self.feed)
            return chosen.model_path.read_bytes(), chosen.manifest, results, answers, truth

    def _others(self, proto: Any, truth: Feed, folder: Path) -> dict[str, Release]:
        def badness(made: Any) -> float:
            with tempfile.TemporaryDirectory() as place:
                found = Model.load(self._scratch(Path(place) / "r", "mixed", made)).run(self.feed)
            difference, allowed = compared(found, truth), self.plan.tolerances
            flips = difference.label_flips / max(allowed.flips, 1e-9)
            return max(flips, difference.maximum / max(allowed.probability, 1e-9))

        guide = Guide(self._rows(), badness)
        built = {}
        for name in self.plan.variants[1:]:
            made = VARIANTS[name](proto, guide)
            if made is not None and not (self.plan.target and self.plan.target.refuses(made)):
                built[name] = self._scratch(folder / name, name, made)
                self.progress(f"built {name}")
        return built

    def _rows(self) -> list[Feed]:
        """Feeds for calibration: one a row where all tensors are batched, else the whole."""
        if not self.manifest.signature.batched or self.manifest.signature.state:
            return [self.feed]
        count = min(len(array) for array in self.feed.values())
        return [{n: a[i : i + 1] for n, a in self.feed.items()} for i in range(min(count, 200))]

    def _scratch(self, folder: Path, name: str, proto: Any) -> Release:
        target = self.plan.target
        if target is not None:
            proto.ir_version = min(proto.ir_version, target.ir_version)
            refused = target.refuses(proto)
            if refused:
                raise ConversionError(f"target: {refused}")
        needs = RuntimeNeeds(proto.ir_version, {e.domain: e.version for e in proto.opset_import})
        files = dict.fromkeys(UNWRITTEN, b"") | {MODEL: to_bytes(proto)}
        return write_release(folder, replace(self.manifest, variant=name, runtime=needs), files)

    def _measured(self, built: dict[str, Release], truth: Feed) -> dict[str, VariantResult]:
        self.progress("measuring " + ", ".join(built))
        speeds, own = measure.measure(built, self.feed), self.score(truth)
        results = {}
        for name, release in built.items():
            found = Model.load(release).run(self.feed)
            difference = compared(found, truth)
            score = self.score(found)
            reason = measure.judge(difference, score, own, self.plan.tolerances)
            raw = release.model_path.read_bytes()
            results[name] = measure.as_result(name, raw, difference, score, speeds[name], reason)
        return results

    def _chosen(self, results: dict[str, VariantResult], truth: Feed) -> str:
        limits = self.plan.limits
        if limits is None:
            return measure.choose(results)
        chosen = limits.choose(results, self.score(truth))
        if chosen is None:
            table = results_table(results, limits, self.score(truth))
            raise BudgetExceeded("budget: no variant keeps it", table)
        return chosen


def compared(found: Feed, expected: Feed) -> Difference:
    """:func:`parity.compare` for tensors of any shape: all but the first axis are columns."""
    both = [{name: _flat(array) for name, array in feed.items()} for feed in (found, expected)]
    if len({len(array) for array in both[1].values()}) > 1:
        parts = [parity.compare({n: both[0][n]}, {n: both[1][n]}) for n in both[1]]
        return Difference(
            max(part.label_flips for part in parts),
            max(part.maximum for part in parts),
            max(part.mean for part in parts),
            (),
        )
    return parity.compare(both[0], both[1])


def _flat(array: Any) -> Any:
    if array.ndim == 0:
        return array.reshape(1, 1)
    if array.dtype.kind == "f" and array.ndim != 2:
        return array.reshape(len(array), -1)
    return array.astype(np.float32) if array.dtype == np.float16 else array
