"""One conversion: export, make variants, hold each to the model, choose, certify, write.

Invariants:

* Answers are compared through the device's own runtime: what is certified is what a device gives.
* float32 out of tolerance stops the conversion; a smaller variant out of tolerance is just not
  chosen, and the certificate says why.
* The release folder appears whole, at the end, or not at all.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from converters.certification import measure
from converters.certification.exact_bounds import CONFIDENCE
from converters.certification.reference import Reference
from converters.certification.search import SearchPlan
from converters.documents.writing import documents
from converters.errors import ConversionError
from converters.memory import trim
from converters.pipeline.candidates import Candidates
from converters.pipeline.shipped import Shipped
from converters.pipeline.trials import VariantSearch
from converters.release_spec import CascadeTarget, ReleaseSpec
from converters.sources.model_source import ModelSource
from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.contract.manifest import PROFILE, Column, Manifest
from edge_sdk.model.release import Feed, Release, refs_of, write_release

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReleasePipeline:
    """The way of one model into a release folder.

    Attributes:
        source: the model with its samples.
        spec: name of the release, and where it is written.
        plan: variants that are tried, and what they may cost.
        progress: called with a line for each step.
    """

    source: ModelSource
    spec: ReleaseSpec
    plan: SearchPlan
    progress: Callable[[str], None]

    def run(self, cloud: Release | None = None) -> Release:
        """Make the release.

        Args:
            cloud: the cloud model's release, if a cascade threshold is to be certified against it.

        Raises:
            ConversionError: with the reasons; nothing was written.
        """
        source, until = self.source, time.process_time() + self.plan.seconds
        self._announce("exporting")
        proto = source.export()
        with tempfile.TemporaryDirectory() as folder:
            candidates = self._candidates(proto, Path(folder))
            float32 = candidates.build_float32(proto)
            del proto  # a large one would be in memory a second time
            size = float32.model_path.stat().st_size
            trim(size)
            self._announce(f"comparing answers on {source.rows} rows")
            reference = source.reference(float32)
            verified, columns = self._verified(float32)
            trials = VariantSearch(
                candidates, source, self.plan, reference, verified, self._announce,
                over=lambda: time.process_time() > until,
            )  # fmt: skip
            results = trials.run(float32)
            choice = trials.choose(results)
            self._announce(f"chose {choice.name}")
            built, chosen = trials.releases, trials.releases[choice.name]
            answers = source.run(chosen)
            trim(size)
            manifest = self._manifest(chosen, results, verified, columns)
            if cloud is not None:
                manifest = self._with_cascade(manifest, answers, cloud)
            certificate = self._certificate(results, reference)
            shipped = Shipped(source, reference, certificate, choice)
            files = shipped.files(chosen, built, self.plan.ship, answers)
            files[PROFILE] = source.profile(chosen, answers).to_json()
            trim(size)
            manifest = replace(manifest, variants=shipped.variants, files=refs_of(files))
            texts = {n: raw for n, raw in files.items() if isinstance(raw, bytes)}
            files |= documents(self.spec, manifest, texts)
            self._announce(f"writing {self.spec.out}")
            return write_release(self.spec.out, manifest, files)

    def _announce(self, step: str, level: int = logging.INFO) -> None:
        log.log(level, "%s %s: %s", self.spec.name, self.spec.version, step)
        self.progress(step)

    def _candidates(self, proto: Any, folder: Path) -> Candidates:
        training = {**self.spec.origin, "estimator": self.source.kind}
        if self.spec.extra_ignored:
            training["extra"] = "ignored"
        base = self.spec.manifest(self.source.task, self.source.signature(), proto, training)
        return Candidates(base, self.plan, folder, self._announce)

    def _verified(self, float32: Release) -> tuple[Mapping[str, str], tuple[Column, ...]]:
        verified = self.source.verify(float32)
        if verified.get("missing", "allowed") != "allowed":
            log.warning("%s: missing values %s", self.spec.name, verified["missing"])
        return verified, self.source.columns(float32)

    def _manifest(
        self,
        chosen: Release,
        results: Mapping[str, VariantResult],
        verified: Mapping[str, str],
        columns: tuple[Column, ...],
    ) -> Manifest:
        manifest = chosen.manifest
        result = asdict(results[manifest.variant])
        # What the certificate says of a name is what the manifest says of it.
        measured = {name: result[name] for name in self.source.metrics}
        metrics = {**self.spec.reported, **measured}
        return replace(
            manifest,
            signature=replace(manifest.signature, columns=columns),
            metrics={name: value for name, value in metrics.items() if value is not None},
            training={**manifest.training, **verified},
            groups=tuple(each.column for each in self.source.groups),
        )

    def _with_cascade(self, manifest: Manifest, answers: Feed, cloud: Release) -> Manifest:
        label = cloud.manifest.signature.output("label")
        if not {"label", "probabilities"} <= set(answers) or label is None:
            raise ConversionError(
                "calibrate_against: expected a classifier with probabilities, and a cloud "
                "classifier"
            )
        cloud_labels = self.source.run(cloud)[label.name]
        return with_cascade(manifest, answers, cloud_labels, self.spec.cascade)

    def _certificate(
        self, results: Mapping[str, VariantResult], reference: Reference
    ) -> Certificate:
        """The part that the certificates of all variants of the release share."""
        return Certificate(
            chosen="float32",
            variants=tuple(results.values()),
            rows=self.source.rows,
            original_score=reference.score,
            limits=self.plan.limits.limits if self.plan.limits is not None else {},
            tolerances=asdict(self.plan.tolerances),
            tools=measure.tools(self.source.packages),
            machine=measure.machine(),
            repeat=self.plan.repeat(self.spec.out.name),
            confidence=CONFIDENCE,
        )


def with_cascade(
    manifest: Manifest, answers: Feed, cloud_labels: Any, target: CascadeTarget
) -> Manifest:
    """Return the manifest with a cascade threshold, or with the reason why there is none.

    Args:
        manifest: of the on-device model.
        answers: of the on-device model: ``label`` [N] and ``probabilities`` [N, classes].
        cloud_labels: of the cloud model for the same rows, [N].
        target: what is to be certified.
    """
    # scipy, which this needs, takes a second to import; few conversions have a cascade.
    from converters.certification.cascade_threshold import calibrate

    cascade = calibrate(answers["probabilities"], answers["label"], cloud_labels, target)
    if cascade is None:
        log.warning("%s: no cascade threshold could be certified", manifest.model)
        note = {"cascade": "not useful: no threshold could be certified"}
        return replace(manifest, training={**manifest.training, **note})
    return replace(manifest, cascade=cascade)
