"""``convert``: export, make variants, hold each to the original, choose, certify, write.

Invariants:

* Answers are compared through the device's own runtime, so what is certified is what a device gives.
* float32 out of tolerance stops the conversion; a smaller variant out of tolerance is just not
  chosen, and the certificate says why.
* The release folder appears whole, at the end, or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters import certify, parity
from converters.errors import ConversionError, ParityError
from converters.existing import convert_existing
from converters.export import export, output_specs
from converters.original import Original, load, original_of
from converters.parity import Tolerances
from converters.profile import reference_profile
from converters.rows import Rows, fingerprint, rows_of
from converters.variants import VARIANTS
from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.contract.errors import EdgeError
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Budget,
    Cascade,
    FileRef,
    Lineage,
    Manifest,
    RuntimeNeeds,
    Signature,
)
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.inference import Model
from edge_sdk.release import Feed, Golden, Release, write_release
from edge_sdk.schema import InputSchema

CHECK_ROWS: Final = 5_000
GOLDEN_ROWS: Final = 32
UNWRITTEN: Final = {n: FileRef(0, "0" * 64) for n in (MODEL, PROFILE, GOLDEN, CERTIFICATE)}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What a release is to be called and to carry, apart from the model itself."""

    name: str
    version: str = "1.0"
    lineage: Lineage = Lineage()
    budget: Budget = Budget()
    licence: str | None = None
    training: Mapping[str, str] | None = None


def convert(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    name: str,
    out: str | Path,
    version: str = "1.0",
    parent: str | None = None,
    mode: str = "stateless",
    data: tuple[Any, Any] | None = None,
    classes: Sequence[Any] | None = None,
    variants: Sequence[str] = tuple(VARIANTS),
    tolerances: Tolerances = Tolerances(),
    calibrate_against: Release | None = None,
    profile: Any = None,
    budget: Budget = Budget(),
    licence: str | None = None,
    trust: bool = False,
    progress: Progress = lambda message: None,
) -> Release:
    """Turn a trained model into a certified release folder.

    Args:
        model: a fitted scikit-learn classifier, regressor or Pipeline; the path of a pickle of one
            (with ``trust``); or the path of an ``.onnx`` file.
        X: rows that the model was not trained on, [N, features] as array or DataFrame (for ONNX
            files also a list of feeds): answers are checked, the reference profile and golden
            vectors are taken from them.
        y: their labels or values, [N]; without it no score is certified.
        name: of the model.
        out: folder to write; it must not exist.
        version: ``MAJOR.MINOR``.
        parent: version that this one continues.
        mode: ``stateless`` (trained from scratch) or ``stateful`` (from its parent).
        data: the training data ``(X, y)``, for the dataset fingerprint; default ``(X, y)``.
        classes: labels in the order of the probabilities, for ONNX files.
        variants: which files to try, of :data:`converters.variants.VARIANTS`.
        tolerances: what a variant may differ by.
        profile: rows whose distribution the reference profile describes; default ``X``.
        calibrate_against: the cloud model's release: a cascade threshold is certified against it.
        budget: what a device must keep for the release to be activated there.
        licence: of the model, as an SPDX identifier.
        trust: allow loading a pickle.
        progress: called with a line for each step.

    Raises:
        ConversionError: with the reasons; nothing was written.
    """
    try:
        lineage = _lineage(mode, parent, data or (X, y))
        wish = Wish(name, version, lineage, budget, licence)
        if isinstance(model, str | Path) and Path(model).suffix == ".onnx":
            return convert_existing(Path(model), X, wish, Path(out), classes)
        loaded = load(model, trust=trust) if isinstance(model, str | Path) else model
        job = _Job(original_of(loaded), X, y, profile, wish, tolerances, variants, progress)
        return job.run(Path(out), calibrate_against)
    except EdgeError as error:
        raise ConversionError(str(error)) from error


def _lineage(mode: str, parent: str | None, data: tuple[Any, Any]) -> Lineage:
    if mode not in ("stateless", "stateful"):
        raise ConversionError(f"mode: expected stateless or stateful, got {mode!r}")
    rows = len(data[0])
    return Lineage(mode, parent, fingerprint(*data), rows)  # type: ignore[arg-type]


class _Job:
    """One conversion: what its steps share."""

    def __init__(
        self,
        original: Original,
        X: Any,
        y: Any,
        profile: Any,
        wish: Wish,
        tolerances: Tolerances,
        variants: Sequence[str],
        progress: Progress,
    ) -> None:
        unknown = set(variants) - set(VARIANTS)
        if unknown:
            raise ConversionError(f"variants: expected some of {list(VARIANTS)}, got {unknown}")
        self.original = original
        self.rows = rows_of(X, original.names)
        self.profiled = self.rows if profile is None else rows_of(profile, original.names)
        self.y = _check_targets(y, len(self.rows))
        self.wish = wish
        self.tolerances = tolerances
        self.variants = ["float32", *(v for v in variants if v != "float32")]
        self.progress = progress
        self.check, self.check_y = self._check_rows()

    def _check_rows(self) -> tuple[Rows, Any]:
        if len(self.rows) <= CHECK_ROWS:
            return self.rows, self.y
        chosen = np.linspace(0, len(self.rows) - 1, CHECK_ROWS).astype(int)
        return self.rows.take(chosen), None if self.y is None else self.y[chosen]

    def run(self, out: Path, cloud: Release | None) -> Release:
        if out.exists():
            raise ConversionError(f"{out}: exists already; releases are never overwritten")
        self.progress("exporting")
        proto = export(self.original, self.rows)
        manifest = self._manifest(proto)
        expected = self.original.answers(self.check)
        with tempfile.TemporaryDirectory() as folder:
            built = self._build(proto, manifest, Path(folder))
            manifest = self._check_exact(built["float32"], manifest, expected)
            results = self._measure(built, expected)
            chosen = certify.choose(results)
            self.progress(f"chose {chosen}")
            manifest = replace(manifest, variant=chosen, metrics=_metrics(results[chosen]))
            return self._write(out, built[chosen], manifest, results, expected, cloud)

    def _manifest(self, proto: Any) -> Manifest:
        signature = Signature(
            inputs=self.rows.tensors,
            outputs=output_specs(proto, self.original),
            columns=self.rows.columns,
            classes=self.original.classes,
        )
        return Manifest(
            model=self.wish.name,
            version=self.wish.version,
            task=self.original.task,
            signature=signature,
            files=UNWRITTEN,
            runtime=RuntimeNeeds(
                proto.ir_version, {o.domain: o.version for o in proto.opset_import}
            ),
            lineage=self.wish.lineage,
            budget=self.wish.budget,
            licence=self.wish.licence,
            training={"estimator": type(self.original.estimator).__name__},
        )

    def _build(self, proto: Any, manifest: Manifest, folder: Path) -> dict[str, Release]:
        """Every variant that this model has, as a scratch release that the runtime can load."""
        built = {}
        for name in self.variants:
            made = VARIANTS[name](proto)
            if made is not None:
                self.progress(f"built {name}")
                raw = made.SerializeToString(deterministic=True)
                files = dict.fromkeys(UNWRITTEN, b"") | {MODEL: raw}
                built[name] = write_release(folder / name, manifest, files)
        return built

    def _check_exact(self, release: Release, manifest: Manifest, expected: Feed) -> Manifest:
        """Hold float32 to the original; learn what holds for labels and missing values.

        Raises:
            ParityError: it answers differently.
        """
        limit = self.tolerances.exact
        for what, rows, truth in self._probes(expected):
            found = _answers(release, rows)
            difference = parity.compare(found, truth)
            if difference.label_flips > 0 or difference.maximum > limit:
                raise ParityError(f"{what}: {parity.refusal(difference, found, truth, limit)}")
        training = dict(manifest.training) | self._missing(release)
        if "probabilities" in expected and self._is_argmax(release, expected):
            training["label"] = "argmax"
        return replace(manifest, training=training)

    def _probes(self, expected: Feed) -> list[tuple[str, Rows, Feed]]:
        """Rows on which the answers must agree: the check rows, one alone, and the corners."""
        one = self.check.take([0])
        probes = [
            ("check rows", self.check, expected),
            ("one row", one, self.original.answers(one)),
        ]
        if self.rows.dense:
            table = np.asarray(self.check.table)
            corners = np.stack([table.min(axis=0), table.max(axis=0), np.zeros(table.shape[1])])
            rows = self.check.with_values(corners.astype(np.float32))
            probes.append(("corner rows", rows, self.original.answers(rows)))
        return probes

    def _missing(self, release: Release) -> dict[str, str]:
        """Missing values are allowed only if the original takes them and the export agrees."""
        if not self.rows.dense:
            return {}
        table = np.array(self.check.table, dtype=np.float32)
        holes = np.random.default_rng(0).random(table.shape) < 0.2
        table[holes] = np.nan
        rows = self.check.with_values(table)
        if not self.original.accepts(rows):
            return {}
        allowed = replace(release.manifest, training={"missing": "allowed"})
        found = _answers(replace(release, manifest=allowed), rows)
        difference = parity.compare(found, self.original.answers(rows))
        if difference.label_flips > 0 or difference.maximum > self.tolerances.exact:
            return {"missing": "refused: the exported model treats missing values differently"}
        return {"missing": "allowed"}

    def _is_argmax(self, release: Release, expected: Feed) -> bool:
        classes = np.asarray(self.original.classes, dtype=object)
        found = _answers(release, self.check)
        named = classes[found["probabilities"].argmax(axis=1)].astype(str)
        return bool((named == found["label"].astype(str)).all())

    def _measure(self, built: dict[str, Release], expected: Feed) -> dict[str, VariantResult]:
        self.progress("measuring")
        schema = InputSchema(built["float32"].manifest.signature, missing=True)
        feed = schema.batch(self.check.take(np.arange(min(200, len(self.check)))).for_device())
        speeds = certify.measure(built, feed)
        original_score = parity.score(expected, self.check_y)
        results = {}
        for name, release in built.items():
            found = _answers(release, self.check)
            difference = parity.compare(found, expected)
            score = parity.score(found, self.check_y)
            judged = certify.judge(name, difference, score, original_score, self.tolerances)
            reason = "" if name == "float32" else judged
            raw = release.model_path.read_bytes()
            results[name] = certify.as_result(name, raw, difference, score, speeds[name], reason)
        return results

    def _write(
        self,
        out: Path,
        chosen: Release,
        manifest: Manifest,
        results: dict[str, VariantResult],
        expected: Feed,
        cloud: Release | None,
    ) -> Release:
        found = _answers(chosen, self.check)
        if cloud is not None:
            manifest = self._calibrated(manifest, found, cloud)
        certificate = Certificate(
            chosen=manifest.variant,
            variants=tuple(results.values()),
            rows=len(self.check),
            original_score=parity.score(expected, self.check_y),
            tolerances=asdict(self.tolerances),
            tools=certify.tools(),
            machine=certify.machine(),
            repeat=f"edge-convert verify {out.name}",
        )
        files = {
            MODEL: chosen.model_path.read_bytes(),
            PROFILE: self._profile(chosen).to_json(),
            GOLDEN: self._golden(chosen, expected, results[manifest.variant]).to_bytes(),
            CERTIFICATE: certificate.to_json(),
        }
        self.progress(f"writing {out}")
        return write_release(out, manifest, files)

    def _profile(self, chosen: Release) -> ReferenceProfile:
        answers = _answers(chosen, self.profiled)
        return reference_profile(self.profiled, answers, self.original.classes)

    def _golden(self, chosen: Release, expected: Feed, result: VariantResult) -> Golden:
        """The original's answers, with the tolerance that the chosen variant was certified to.

        Rows on which a variant flips a label, within its tolerance, are no golden rows.
        """
        found = _answers(chosen, self.check)
        agree = np.ones(len(self.check), dtype=bool)
        if "label" in expected:
            agree = found["label"].astype(str) == expected["label"].astype(str)
        indices = np.flatnonzero(agree)[:GOLDEN_ROWS]
        schema = InputSchema(chosen.manifest.signature, missing=True)
        inputs = schema.batch(self.check.take(indices).for_device())
        outputs = {}
        for spec in chosen.manifest.signature.outputs:
            if spec.name in expected:
                array = expected[spec.name][indices]
                outputs[spec.name] = array.astype(str if array.dtype == object else spec.dtype)
        inputs = {n: a.astype(str) if a.dtype == object else a for n, a in inputs.items()}
        spread = float(np.std(expected["value"])) if "value" in expected else 1.0
        limit = max(result.max_difference * 2, self.tolerances.exact) * max(spread, 1e-12)
        return Golden(inputs, outputs, limit)

    def _calibrated(self, manifest: Manifest, found: Feed, cloud: Release) -> Manifest:
        from converters.calibration import calibrate

        if "probabilities" not in found:
            raise ConversionError("calibrate_against: expected a classifier with probabilities")
        told = _answers(cloud, self.check)
        cascade: Cascade | None = calibrate(found["probabilities"], found["label"], told["label"])
        if cascade is None:
            note = {"cascade": "not useful: no threshold could be certified"}
            return replace(manifest, training={**manifest.training, **note})
        return replace(manifest, cascade=cascade)


def _answers(release: Release, rows: Rows) -> Feed:
    """What the device's runtime answers to ``rows``."""
    missing = release.manifest.training.get("missing") == "allowed"
    schema = InputSchema(release.manifest.signature, missing=missing)
    return Model.load(release).run(schema.batch(rows.for_device()))


def _check_targets(y: Any, rows: int) -> Any:
    if y is None:
        return None
    targets = np.asarray(y)
    if len(targets) != rows:
        raise ConversionError(
            f"y: expected {rows} values, one for each row of X; got {len(targets)}"
        )
    return targets


def _metrics(result: VariantResult) -> dict[str, float]:
    metrics = {"label_flips": result.label_flips, "max_difference": result.max_difference}
    return metrics if result.score is None else {**metrics, "score": result.score}
