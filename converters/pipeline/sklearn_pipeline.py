"""One conversion: export, make variants, hold each to the original, choose, certify, write.

Invariants:

* Answers are compared through the device's own runtime: what is certified is what a device gives.
* float32 out of tolerance stops the conversion; a smaller variant out of tolerance is just not
  chosen, and the certificate says why.
* The release folder appears whole, at the end, or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters.certification import boundary_rows, measure, parity
from converters.certification.candidates import Candidates
from converters.certification.golden import golden_vectors
from converters.certification.parity_gate import Gate, answers
from converters.certification.profile import group_profiles, reference_profile
from converters.certification.report import results_table
from converters.certification.search import SearchPlan
from converters.errors import BudgetExceeded, ConversionError, UnsupportedModel
from converters.lowering.registry import refusal_reason
from converters.onnx_export.export import export, output_specs
from converters.quantization.variants import EXACT
from converters.release_spec import CascadeTarget, ReleaseSpec
from converters.sources.estimator import EstimatorSource
from converters.sources.groups import Declared, check_rows
from converters.sources.rows import Rows, rows_of
from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Column,
    Manifest,
    Signature,
)
from edge_sdk.model.release import Feed, Golden, Release, write_release

CHECK_ROWS: Final = 5_000
"""Answers are checked on at most this many rows, spread over all that were given."""


class ConversionJob:
    """One conversion: what its steps share."""

    def __init__(
        self,
        original: EstimatorSource,
        X: Any,
        y: Any,
        wish: ReleaseSpec,
        plan: SearchPlan,
        progress: Callable[[str], None],
        groups: tuple[Declared, ...] = (),
    ) -> None:
        reason = refusal_reason(original.estimator)
        if reason is not None:
            raise UnsupportedModel(f"model: {type(original.estimator).__name__} {reason}")
        self.original = original
        self.wish = wish
        self.plan = plan
        self.progress = progress
        self.X = X
        self.apart = False
        self.rows = self._rows_of(X)
        self.y = _targets("y", y, len(self.rows)) if original.scored else None
        check_rows(groups, len(self.rows))
        self.groups = groups

    def run(self, profile: Any, cloud: Release | None) -> Release:
        """Make the release; ``profile`` and ``cloud`` as in :func:`converters.convert`."""
        self.progress("exporting")
        proto = self._export()
        check, y, groups = self._check_rows()
        exact = self.plan.tolerances.exact
        gate = Gate(self.original, check, self.original.answers(check), exact)
        with tempfile.TemporaryDirectory() as folder:
            tried = Candidates(self._base(proto), gate, self.plan, Path(folder), self.progress)
            built = tried.build(proto)
            self.progress(f"comparing answers on {len(check)} rows")
            learned = gate.pass_or_refuse(built["float32"])
            columns = gate.columns(built["float32"])
            results = tried.measure(built, y, learned)
            chosen = built[self._chosen(tried, results, gate, y)]
            manifest = self._manifest(chosen, results, learned, columns)
            self.progress(f"chose {manifest.variant}")
            if cloud is not None:
                manifest = _calibrated(
                    manifest, answers(chosen, check), cloud, check, self.wish.cascade
                )
            certificate = self._certificate(manifest, results, gate, y)
            certificate = replace(certificate, groups=tried.groups(chosen, groups, y))
            files = {
                MODEL: chosen.model_path.read_bytes(),
                PROFILE: self._profile(chosen, profile),
                GOLDEN: self._golden(chosen, gate).to_bytes(),
                CERTIFICATE: certificate.to_json(),
            }
            self.progress(f"writing {self.wish.out}")
            return write_release(self.wish.out, manifest, files)

    def _chosen(
        self, tried: Candidates, results: dict[str, VariantResult], gate: Gate, y: Any
    ) -> str:
        chosen = tried.choose(results, y)
        if chosen is None:
            assert self.plan.limits is not None
            score = parity.score(gate.expected, y)
            raise BudgetExceeded(
                "budget: no variant keeps it", results_table(results, self.plan.limits, score)
            )
        return chosen

    def _rows_of(self, X: Any) -> Rows:
        width = self.original.width
        return rows_of(X, self.original.names, width=width, apart=self.apart)

    def _export(self) -> Any:
        """The model with one tensor for all columns, or else one for each.

        A ColumnTransformer that selects columns by name needs them apart.
        """
        try:
            return export(self.original, self.rows)
        except UnsupportedModel:
            if self.original.names is None or not hasattr(self.X, "iloc") or not self.rows.dense:
                raise
        self.apart = True
        self.rows = self._rows_of(self.X)
        return export(self.original, self.rows)

    def _check_rows(self) -> tuple[Rows, Any, tuple[Declared, ...]]:
        """Rows, targets and groups that answers are checked on."""
        if len(self.rows) <= CHECK_ROWS:
            return self.rows, self.y, self.groups
        chosen = np.linspace(0, len(self.rows) - 1, CHECK_ROWS).astype(int)
        y = None if self.y is None else self.y[chosen]
        return self.rows.take(chosen), y, tuple(each.take(chosen) for each in self.groups)

    def _base(self, proto: Any) -> Manifest:
        """What the manifests of all variants share."""
        signature = Signature(
            inputs=self.rows.tensors,
            outputs=output_specs(proto, self.original),
            columns=self.rows.columns,
            classes=self.original.classes,
        )
        training = {"estimator": type(self.original.estimator).__name__}
        return self.wish.manifest(self.original.task, signature, proto, training)

    def _manifest(
        self,
        chosen: Release,
        results: dict[str, VariantResult],
        learned: dict[str, str],
        columns: tuple[Column, ...],
    ) -> Manifest:
        manifest = chosen.manifest
        return replace(
            manifest,
            signature=replace(manifest.signature, columns=columns),
            metrics=_metrics(results[manifest.variant]),
            training={**manifest.training, **learned},
            groups=tuple(each.column for each in self.groups),
        )

    def _certificate(
        self, manifest: Manifest, results: dict[str, VariantResult], gate: Gate, y: Any
    ) -> Certificate:
        return Certificate(
            chosen=manifest.variant,
            variants=tuple(results.values()),
            rows=len(gate.check),
            original_score=parity.score(gate.expected, y),
            tolerances=asdict(self.plan.tolerances),
            tools=measure.tools(),
            machine=measure.machine(),
            repeat=self.plan.repeat(self.wish.out.name),
        )

    def _profile(self, chosen: Release, data: Any) -> bytes:
        rows = self.rows if data is None else self._rows_of(data)
        told = answers(chosen, self.rows)
        made = reference_profile(rows, told, self.original.classes, self.y)
        return replace(made, groups=group_profiles(made, told, self.groups)).to_json()

    def _golden(self, chosen: Release, gate: Gate) -> Golden:
        """Golden vectors from the check rows, and for exact variants from rows of extremes too."""
        corners = boundary_rows.corners(gate.check)
        exact = chosen.manifest.variant in EXACT
        parts: list[tuple[Rows, Feed]] = [(gate.check, gate.expected)]
        if exact and corners is not None and self.original.accepts(corners):
            parts.append((corners, self.original.answers(corners)))
        return golden_vectors(
            chosen.manifest.signature,
            [(rows, answers(chosen, rows), truth) for rows, truth in parts],
            self.plan.tolerances.exact,
        )


def _calibrated(
    manifest: Manifest, found: Feed, cloud: Release, check: Rows, target: CascadeTarget
) -> Manifest:
    """The manifest with a cascade threshold, or with the reason why there is none."""
    from converters.certification.cascade_threshold import calibrate

    label = cloud.manifest.signature.output("label")
    if not {"label", "probabilities"} <= set(found) or label is None:
        raise ConversionError(
            "calibrate_against: expected a classifier with probabilities, and a cloud classifier"
        )
    told = answers(cloud, check)[label.name]
    cascade = calibrate(found["probabilities"], found["label"], told, target)
    if cascade is None:
        note = {"cascade": "not useful: no threshold could be certified"}
        return replace(manifest, training={**manifest.training, **note})
    return replace(manifest, cascade=cascade)


def _targets(name: str, y: Any, rows: int) -> Any:
    if y is None:
        return None
    targets = np.asarray(y)
    if targets.ndim == 0 or len(targets) != rows:
        came = "one value" if targets.ndim == 0 else len(targets)
        raise ConversionError(f"{name}: expected {rows} values, one for each row of X; got {came}")
    return targets


def _metrics(result: VariantResult) -> dict[str, float]:
    metrics = {"label_flips": result.label_flips, "max_difference": result.max_difference}
    return metrics if result.score is None else {**metrics, "score": result.score}
