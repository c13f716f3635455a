"""One conversion: export, make variants, hold each to the original, choose, certify, write.

Invariants:

* Answers are compared through the device's own runtime: what is certified is what a device gives.
* float32 out of tolerance stops the conversion; a smaller variant out of tolerance is just not
  chosen, and the certificate says why.
* The release folder appears whole, at the end, or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters import certify, parity, probes
from converters.errors import ConversionError, ParityError, UnsupportedModel
from converters.export import export, output_specs
from converters.forms.registry import why_not
from converters.gate import Gate, answers
from converters.golden import golden_vectors
from converters.original import Original
from converters.packing import to_bytes
from converters.parity import Tolerances
from converters.profile import reference_profile
from converters.rows import Rows, rows_of
from converters.variants import EXACT, VARIANTS
from converters.wish import UNWRITTEN, CascadeTarget, Wish
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
from edge_sdk.release import Feed, Golden, Release, write_release
from edge_sdk.schema import InputSchema

CHECK_ROWS: Final = 5_000
"""Answers are checked on at most this many rows, spread over all that were given."""

TIMED_ROWS: Final = 200


class Job:
    """One conversion: what its steps share."""

    def __init__(
        self,
        original: Original,
        X: Any,
        y: Any,
        wish: Wish,
        tolerances: Tolerances,
        variants: Sequence[str],
        progress: Callable[[str], None],
    ) -> None:
        unknown = sorted(set(variants) - set(VARIANTS))
        if unknown:
            raise ConversionError(f"variants: expected some of {list(VARIANTS)}, got {unknown}")
        reason = why_not(original.estimator)
        if reason is not None:
            raise UnsupportedModel(f"model: {type(original.estimator).__name__} {reason}")
        self.original = original
        self.wish = wish
        self.tolerances = tolerances
        self.variants = ["float32", *(v for v in variants if v != "float32")]
        self.progress = progress
        self.X = X
        self.apart = False
        self.rows = self._rows_of(X)
        self.y = _targets(y, len(self.rows)) if original.scored else None

    def run(self, profile: Any, cloud: Release | None) -> Release:
        """Make the release; ``profile`` and ``cloud`` as in :func:`converters.convert`."""
        self.progress("exporting")
        proto = self._export()
        check, y = self._check_rows()
        gate = Gate(self.original, check, self.original.answers(check), self.tolerances.exact)
        with tempfile.TemporaryDirectory() as folder:
            built = self._build(proto, Path(folder))
            self.progress(f"comparing answers on {len(check)} rows")
            learned = gate.pass_or_refuse(built["float32"])
            columns = gate.columns(built["float32"])
            results = self._measure(built, gate, y, learned)
            chosen = built[certify.choose(results)]
            manifest = self._manifest(chosen, results, learned, columns)
            self.progress(f"chose {manifest.variant}")
            if cloud is not None:
                manifest = _calibrated(
                    manifest, answers(chosen, check), cloud, check, self.wish.cascade
                )
            files = {
                MODEL: chosen.model_path.read_bytes(),
                PROFILE: self._profile(chosen, profile),
                GOLDEN: self._golden(chosen, gate, results).to_bytes(),
                CERTIFICATE: self._certificate(manifest, results, gate, y).to_json(),
            }
            self.progress(f"writing {self.wish.out}")
            return write_release(self.wish.out, manifest, files)

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

    def _check_rows(self) -> tuple[Rows, Any]:
        if len(self.rows) <= CHECK_ROWS:
            return self.rows, self.y
        chosen = np.linspace(0, len(self.rows) - 1, CHECK_ROWS).astype(int)
        return self.rows.take(chosen), None if self.y is None else self.y[chosen]

    def _build(self, proto: Any, folder: Path) -> dict[str, Release]:
        """Every variant that this model has, as a scratch release that the runtime can load."""
        signature = Signature(
            inputs=self.rows.tensors,
            outputs=output_specs(proto, self.original),
            columns=self.rows.columns,
            classes=self.original.classes,
        )
        training = {"estimator": type(self.original.estimator).__name__}
        built = {}
        for name in self.variants:
            made = VARIANTS[name](proto)
            if made is not None:
                self.progress(f"built {name}")
                manifest = self.wish.manifest(self.original.task, signature, made, training)
                raw = to_bytes(made)
                files = dict.fromkeys(UNWRITTEN, b"") | {MODEL: raw}
                built[name] = write_release(folder / name, replace(manifest, variant=name), files)
        return built

    def _measure(
        self, built: dict[str, Release], gate: Gate, y: Any, learned: dict[str, str]
    ) -> dict[str, VariantResult]:
        self.progress("measuring " + ", ".join(built))
        schema = InputSchema(built["float32"].manifest.signature, missing=True)
        some = gate.check.take(np.arange(min(TIMED_ROWS, len(gate.check))))
        speeds = certify.measure(built, schema.batch(some.for_device()))
        original_score = parity.score(gate.expected, y)
        results = {}
        for name, release in built.items():
            found = answers(release, gate.check)
            difference = parity.compare(found, gate.expected)
            score = parity.score(found, y)
            if name in EXACT:
                reason = "" if name == "float32" else _inexact(release, gate, learned)
            else:
                reason = certify.judge(difference, score, original_score, self.tolerances)
            raw = release.model_path.read_bytes()
            results[name] = certify.as_result(name, raw, difference, score, speeds[name], reason)
        return results

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
        )

    def _certificate(
        self, manifest: Manifest, results: dict[str, VariantResult], gate: Gate, y: Any
    ) -> Certificate:
        return Certificate(
            chosen=manifest.variant,
            variants=tuple(results.values()),
            rows=len(gate.check),
            original_score=parity.score(gate.expected, y),
            tolerances=asdict(self.tolerances),
            tools=certify.tools(),
            machine=certify.machine(),
            repeat=f"edge-convert verify {self.wish.out.name}",
        )

    def _profile(self, chosen: Release, data: Any) -> bytes:
        rows = self.rows if data is None else self._rows_of(data)
        told = answers(chosen, self.rows)
        return reference_profile(rows, told, self.original.classes, self.y).to_json()

    def _golden(self, chosen: Release, gate: Gate, results: dict[str, VariantResult]) -> Golden:
        """Golden vectors from the check rows, and for exact variants from rows of extremes too."""
        corners = probes.corners(gate.check)
        exact = chosen.manifest.variant in EXACT
        parts: list[tuple[Rows, Feed]] = [(gate.check, gate.expected)]
        if exact and corners is not None and self.original.accepts(corners):
            parts.append((corners, self.original.answers(corners)))
        return golden_vectors(
            chosen.manifest.signature,
            [(rows, answers(chosen, rows), truth) for rows, truth in parts],
            self.tolerances.exact,
        )


def _inexact(release: Release, gate: Gate, learned: dict[str, str]) -> str:
    """Why a variant that should be exact is not; empty if it is."""
    try:
        same = gate.pass_or_refuse(release) == learned
    except ParityError as error:
        return str(error).splitlines()[0]
    return "" if same else "treats missing values or labels differently from float32"


def _calibrated(
    manifest: Manifest, found: Feed, cloud: Release, check: Rows, target: CascadeTarget
) -> Manifest:
    """The manifest with a cascade threshold, or with the reason why there is none."""
    from converters.calibration import calibrate

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


def _targets(y: Any, rows: int) -> Any:
    if y is None:
        return None
    targets = np.asarray(y)
    if targets.ndim == 0 or len(targets) != rows:
        came = "one value" if targets.ndim == 0 else len(targets)
        raise ConversionError(f"y: expected {rows} values, one for each row of X; got {came}")
    return targets


def _metrics(result: VariantResult) -> dict[str, float]:
    metrics = {"label_flips": result.label_flips, "max_difference": result.max_difference}
    return metrics if result.score is None else {**metrics, "score": result.score}
