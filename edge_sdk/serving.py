"""One release in service: the path of every prediction.

The order is pack, model, and the cloud only when the model is unsure. Invariants:

* The pack was made for this release; both are opened together and replaced together.
* A call takes no lock and waits for nothing but the model, or for the cloud within its deadline.
* Whatever goes wrong with the cloud, the model's own answer is returned, marked ``degraded``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.answers import Answers
from edge_sdk.cascade import CircuitBreaker, confidence, threshold
from edge_sdk.contract.fleet import CloudReply, CloudRequest
from edge_sdk.contract.plan import CascadePolicy, Reporting, Sharing
from edge_sdk.errors import EdgeError, InputError, ReleaseError
from edge_sdk.inference import Model
from edge_sdk.inputs import inputs_for
from edge_sdk.monitor import Monitor, Scope, sampled
from edge_sdk.pack import Pack
from edge_sdk.prediction import BatchPrediction, Prediction
from edge_sdk.release import Release
from edge_sdk.schema import InputSchema

CloudCall = Callable[[CloudRequest, float], CloudReply]
"""Asks the cloud; the second argument is the deadline in seconds. Raises :class:`HubError`."""


@dataclass(frozen=True)
class Terms:
    """Under which a release serves: its arm, and what the plan says of reporting and cloud."""

    experiment: str | None = None
    arm: str = "control"
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()


class Serving:
    """A release that answers. Safe from any number of threads."""

    def __init__(
        self,
        release: Release,
        terms: Terms,
        *,
        tag: str,
        pack: Path | None = None,
        cloud: CloudCall | None = None,
        share: bool = False,
        threads: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Load ``release`` and open ``pack``.

        Raises:
            ReleaseError: the model does not load.
            PackError: the pack is not for this release, torn or expired.
        """
        manifest = release.manifest
        self.release = release
        self.terms = terms
        self.tag = tag
        self.errors = 0
        self._model = Model.load(release, threads)
        self._pack = Pack.open(pack, release, now=clock()) if pack else None
        self._inputs = inputs_for(release, self._model)
        missing = manifest.training.get("missing") == "allowed"
        self._schema = InputSchema(manifest.signature, missing=missing)
        self._answers = Answers(manifest, tag)
        self._cloud = cloud
        self._breaker = CircuitBreaker(time.monotonic)
        self._threshold = threshold(manifest.cascade, terms.cascade) if cloud else None
        self._metric = manifest.cascade.metric if manifest.cascade else "max_probability"
        self._deadline = terms.cascade.deadline_ms / 1e3
        self.monitor = Monitor(
            release,
            self._inputs,
            Scope(tag, terms.experiment, terms.arm),
            terms.reporting,
            terms.sharing,
            share=share,
            clock=clock,
        )

    @property
    def pack_digest(self) -> str | None:
        """SHA-256 of the pack's body, if a pack is in use."""
        return self._pack.header.body if self._pack is not None else None

    def predict(self, x: Any) -> Prediction:
        """Answer one input.

        Raises:
            InputError: the input does not fit the model; the model did not run.
            ReleaseError: the model failed on it.
        """
        started = time.perf_counter_ns()
        key = None
        try:
            given = self._inputs.check(x)
            found = None
            if self._pack is not None:
                key = self._inputs.key(given)
                found = self._pack.get(key) if key else None
            if found is not None:
                prediction = self._answers.from_pack(found)
            else:
                prediction = self._answers.read(self._inputs.run(given), "model")
                if self._threshold is not None:
                    prediction = self._ask_if_unsure(given, prediction)
        except EdgeError as error:
            self._count(error)
            raise
        self.monitor.record(given, prediction, time.perf_counter_ns() - started, key)
        return prediction

    def predict_batch(self, x: Any) -> BatchPrediction:
        """Answer N inputs with the model; neither pack nor cloud is asked.

        Raises:
            InputError: the rows do not fit the model; the model did not run.
            ReleaseError: the model failed.
        """
        try:
            feed = self._schema.batch(x)
            outputs = self._model.run(feed)
        except EdgeError as error:
            self._count(error)
            raise
        signature = self.release.manifest.signature
        roles = {spec.name: spec.role for spec in signature.outputs}
        version = self.release.manifest.version
        batch = BatchPrediction(self.tag, 0, version, signature.classes, outputs, dict(roles))
        rows = sampled(len(batch))
        self.monitor.record_batch(self._schema.columns_of(feed, rows), batch)
        return batch

    def feedback(self, number: str, label: Any = None, reward: float | None = None) -> None:
        """Join a late label or reward with a prediction.

        Raises:
            InputError: unknown prediction, a label that is no class, or one that came already.
        """
        if isinstance(label, np.generic):
            label = label.item()
        if any(isinstance(v, float) and not math.isfinite(v) for v in (label, reward)):
            raise InputError("label", f"expected a finite label or reward, got {label}, {reward}")
        try:
            self.monitor.feedback(number, label, reward)
        except InputError as error:
            self.monitor.record_error(error.kind)
            raise

    def close(self) -> None:
        """Unmap the pack. Nothing may be predicted after it."""
        if self._pack is not None:
            self._pack.close()

    def _count(self, error: EdgeError) -> None:
        self.errors += isinstance(error, ReleaseError)
        self.monitor.record_error(error.kind if isinstance(error, InputError) else "model")

    def _ask_if_unsure(self, given: Any, local: Prediction) -> Prediction:
        assert self._threshold is not None
        if local.probabilities is None:
            # A number has no confidence: the cloud is asked always (mode "cloud") or never.
            sure = math.isfinite(self._threshold)
        else:
            sure = confidence(local.probabilities, self._metric) >= self._threshold
        return local if sure else self._ask(given, local)

    def _ask(self, given: Any, local: Prediction) -> Prediction:
        assert self._cloud is not None
        if not self._breaker.allows():
            local.degraded = True
            return local
        manifest = self.release.manifest
        request = CloudRequest(manifest.model, manifest.version, self._inputs.values(given))
        try:
            reply = self._cloud(request, self._deadline)
            served = self._answers.from_cloud(reply, local)
        except EdgeError:
            self._breaker.failed()
            local.degraded = True
            return local
        self._breaker.succeeded()
        return served
