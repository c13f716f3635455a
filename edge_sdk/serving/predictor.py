"""Predictor: one release that answers, from its pack, its model or the cloud.

The order is pack, model, and the cloud only where the model is not confident. Invariants:

* The pack was made for this release; both are replaced together.
* A call takes no lock and waits for nothing but the model, or for the cloud within its deadline;
  the first one for a unit that is not in memory also for a look-up of what it had learned.
* If the cloud fails in any way, the model's own answer is returned, marked ``degraded``.
* The fast path (:mod:`edge_sdk.serving.fast_path`) and the general path here answer identically.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_sdk.contract.window import Window
from edge_sdk.errors import EdgeError, InputError, ReleaseError, ReloadError
from edge_sdk.model.inputs import inputs_for
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.outputs import Answers
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.model.state import RecurrentState
from edge_sdk.serving.cascade import CircuitBreaker, is_confident, rule
from edge_sdk.serving.feature_join import FeatureJoin
from edge_sdk.serving.prepared_paths import PreparedPaths
from edge_sdk.serving.scrub import Scrub
from edge_sdk.serving.stored_inputs import StoredInputs, nothing
from edge_sdk.serving.stored_rows import answered
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.monitor import Monitor
from edge_sdk.telemetry.reports import Scope
from edge_sdk.telemetry.ring_records import sampled
from edge_sdk.validation import deadline_of

if TYPE_CHECKING:  # a device without hub and pack starts without them
    from numpy.typing import NDArray

    from edge_sdk.contract.fleet import CloudReply, CloudRequest
    from edge_sdk.contract.manifest import Label
    from edge_sdk.model.explain import Explanation, Scale
    from edge_sdk.model.explain_regions import ExplanationTerms
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.model.release import Release
    from edge_sdk.model.session import Outputs
    from edge_sdk.packs.entity_features import EntityFeatures
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.packs.reader import Pack
    from edge_sdk.personalise.personaliser import Personaliser
    from edge_sdk.personalise.units.unit_space import HeldUnit
    from edge_sdk.serving.entity_answers import EntityAnswerer
    from edge_sdk.serving.fast_path import FastPath
    from edge_sdk.serving.session_join import SessionJoin
    from edge_sdk.telemetry.groups import GroupValues

CloudCall = Callable[["CloudRequest", float], "CloudReply"]
"""Asks the cloud; the second argument is the deadline in seconds. Raises :class:`HubError`."""


class Predictor(StoredInputs, PreparedPaths):
    """Release that answers. Safe from any number of threads.

    Args:
        release: release to load.
        terms: arm, reporting, sharing and cascade.
        tag: first part of prediction ids, unique on the device.
        pack: precomputed answers, opened for this release.
        features: batch features by entity, opened for this release.
        cloud: call of the cloud model, or ``None``.
        share: True if the owner agreed to share labelled rows.
        monitoring: False to count nothing.
        options: threads and providers of the session.
        model: the release's model if it is loaded already; predictors of one release share it.
        personal: corrects answers for units, made for this release; ``None`` for nobody.
        clock: function that returns Unix seconds.

    Attributes:
        asks_cloud: a prediction may wait for the cloud.
        entities: precomputed answers by entity; ``None`` without any.
        precomputed: looks one of these up, and counts it; ``None`` if there is none that may still
            be given. Each is replaced by one assignment.
        errors: calls on which the model failed; the rollout resets it.
        trouble: what the model said as it failed last.
        model: loaded model.
        personal: corrects answers for units, or ``None``.
        monitor: counts the predictions.
        scrub: reads its files again, and knows what is damaged.
        sessions: joins features of units' sessions; ``None`` where none are declared.
        taps: called with each input that monitoring does not record, and its prediction.

    Raises:
        ReleaseError: the model does not load.
    """

    def __init__(
        self,
        release: Release,
        terms: ServingTerms,
        *,
        tag: str,
        pack: Pack | None = None,
        features: EntityFeatures | None = None,
        cloud: CloudCall | None = None,
        share: bool = False,
        monitoring: bool = True,
        options: RuntimeOptions = RuntimeOptions(),
        model: Model | None = None,
        personal: Personaliser | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        manifest = release.manifest
        self.release, self.terms, self.tag = release, terms, tag
        self.errors, self.trouble = 0, ""
        self.entities: EntityAnswerer | None = None
        self.sessions: SessionJoin | None = None
        self.precomputed: Callable[[str], Prediction | None] = nothing
        self.stateful = bool(manifest.signature.state)
        self.model = model or Model.load(release, options, lean=True)
        self.model.on_unload(self._unbind)
        self.personal = personal
        self._pack, self._features, self._clock = pack, features, clock
        self.scrub = Scrub(release, pack, features.pack if features is not None else None)
        self._schema = InputSchema.of(manifest)
        self._inputs = inputs_for(self._schema, self.model)
        self._answers = Answers(manifest, tag)
        self._cloud = cloud
        self._breaker = CircuitBreaker(time.monotonic)
        self._rule = rule(manifest.cascade, terms.cascade)
        self._one_by_one = self.stateful or not manifest.signature.batched
        self.asks_cloud = cloud is not None and self._rule.asks
        # Fast paths own buffers, so every thread prepares its own.
        self._local = threading.local()
        self.monitor = Monitor(
            release, self._inputs, Scope(tag, terms.experiment, terms.arm), terms.reporting,
            terms.sharing, share=share, enabled=monitoring, clock=clock,
        )  # fmt: skip
        self.taps = self.monitor.shared.taps
        self._features_of = FeatureJoin(features, self.scrub, self.monitor, clock)

    def status(self) -> dict[str, Any]:
        """Return model, version, variant, its provider, and terms, packs by the SHA-256 of their
        body, and the columns of the application that were left out. ``nodes`` are those of the
        graph by the provider that runs them.
        """
        manifest = self.release.manifest
        return {
            "model": manifest.model,
            "version": manifest.version,
            "variant": self.release.variant.name,
            **self.model.placement,
            "pack": self._pack.header.body if self._pack is not None else None,
            "features": self._features.digest if self._features is not None else None,
            "experiment": self.terms.experiment,
            "arm": self.terms.arm,
            "ignored": list(self._schema.named.ignored),
        }

    def window(self, start: int) -> Window:
        """Return the report window of this release and arm that begins at ``start``."""
        manifest, terms = self.release.manifest, self.terms
        end = start + terms.reporting.window_seconds
        return Window(manifest.model, manifest.version, start, end, terms.experiment, terms.arm)

    def predict(self, x: Any, groups: GroupValues | None = None) -> Prediction:
        """Answer one input; ``groups`` holds those that are not columns of the model.

        Raises:
            InputError: the input does not fit the model; the model did not run.
            ReleaseError: the model failed on it.
        """
        # A try that does not fail is free; getattr with a default would cost a call.
        try:
            fast: FastPath | None = self._local.fast
        except AttributeError:
            fast = self._bound()
        if fast is not None:
            try:
                prediction = fast(
                    x, None if groups is None else self.monitor.grouping.encode(groups)
                )
            except EdgeError as error:
                self._count(error)
                raise
            if prediction is not None:
                return prediction
        return self.predict_any(x, groups=groups)

    def predict_any(
        self,
        x: Any,
        *,
        deadline_ms: float | None = None,
        state: RecurrentState | None = None,
        groups: GroupValues | None = None,
        unit: HeldUnit | None = None,
    ) -> Prediction:
        """Answer one input on the general path.

        Args:
            x: the input, as :meth:`edge_sdk.EdgeDevice.predict` takes it.
            deadline_ms: milliseconds to wait for the cloud, instead of the plan's.
            state: recurrent state, updated in place; without it the input is the first of a
                sequence.
            groups: group of the row by column, of columns that the model does not take.
            unit: for whom it is, where answers are corrected for units.

        Raises:
            InputError: the input does not fit the model, or the deadline is invalid; the model did
                not run.
            ReleaseError: the model failed on it.
        """
        started = time.perf_counter_ns()
        try:
            deadline = None if deadline_ms is None else deadline_of(deadline_ms)
            x, groups = self.monitor.grouping.split(x, groups)
            codes = None if groups is None else self.monitor.grouping.encode(groups)
            checked = self._inputs.check(x)
            key = self._inputs.key(checked) if self._pack is not None else None
            stored = self._pack.get(key) if self._pack is not None and key else None
            outputs: Outputs = {}
            if stored is not None:
                prediction, own = self._answers.from_pack(stored), None
            else:
                prediction, own, outputs = self._ask_model_and_cloud(checked, deadline, state)
        except EdgeError as error:
            self._count(error)
            raise
        recorded = self._inputs.recorded(checked)
        personal = self.personal if unit is not None else None
        waiting = served = None
        if unit is not None and personal is not None:
            waiting = personal.answer(unit, prediction, recorded, outputs)
            served = waiting.served
        took = time.perf_counter_ns() - started
        watch = self.monitor.tensors
        excerpt = None if watch is None else watch.take(checked, outputs, took)
        self.monitor.record(recorded, prediction, own, took, codes, excerpt, served)
        if personal is not None and waiting is not None:
            personal.remember(waiting)
        for tap in self.taps if recorded is None else ():
            tap(checked, prediction)
        return prediction if served is None else served

    def again(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Answer checked inputs once more with the model alone; nothing is counted.

        Args:
            inputs: inputs that a predictor of the same schema checked.

        Returns:
            Labels (:attr:`Prediction.compared`), confidences and values, each of N; ``None`` where
            an answer has none.

        Raises:
            ReleaseError: the model failed on one of them.
        """
        dense = self._schema.dense
        if dense is None or self._one_by_one:
            run, read = self._inputs.run, self._answers.read
            single = [read(run(x, {}), self._answers.model) for x in inputs]
            labels, confidences = [p.compared for p in single], [p.confidence for p in single]
            return labels, confidences, [p.value for p in single]
        feed = {dense.name: self._inputs.columns(inputs).T}
        answers = self.model.run(feed)
        batch = self._answers.batch(answers, len(inputs))
        columns = (batch.compared, batch.confidences, batch.values)
        nothing: list[Any] = [None] * len(inputs)
        lists = [nothing if column is None else column.tolist() for column in columns]
        return lists[0], lists[1], lists[2]

    def predict_batch(
        self,
        x: Any,
        groups: GroupValues | None = None,
        *,
        pack: bool = False,
        unit: str | None = None,
    ) -> BatchPrediction:
        """Answer N inputs with the model; the cloud is not asked.

        Args:
            x: N rows, as :meth:`edge_sdk.EdgeDevice.predict_batch` takes them.
            groups: N values by column, of columns that the model does not take.
            pack: ask the pack first.
            unit: for whom all are, a checked name.

        Raises:
            InputError: the rows do not fit the model; the model did not run.
            ReleaseError: the model failed.
        """
        grouping = self.monitor.grouping
        started = time.perf_counter_ns()
        try:
            if self._one_by_one:
                raise InputError("batch", "this model takes one input at a time: use predict")
            x, groups = grouping.split_batch(x, groups)
            feed = self._schema.batch(x)
            batch, outputs = answered(feed, self._answers, self.model, self._pack if pack else None)
            codes = grouping.batch(feed, groups, len(batch)) if grouping else None
            waiting = None
            if unit is not None and (personal := self.personal) is not None:
                dense = self._schema.dense
                table = None if dense is None else feed[dense.name]
                batch, waiting = personal.batch(personal.find(unit), batch, table, outputs)
        except EdgeError as error:
            self._count(error)
            raise
        # A large batch is monitored by a sample of its rows, so that counting stays cheap.
        columns: Any
        if self.monitor.tensors is not None:
            took = time.perf_counter_ns() - started
            rows, columns = self.monitor.tensors.take_batch(feed, outputs, took)
        else:
            rows = sampled(len(batch))
            columns = self._schema.columns_of(feed, rows)
        self.monitor.record_batch(rows, columns, batch, codes)
        if waiting is not None and self.personal is not None:
            self.personal.remember_batch(batch, waiting)
        return batch

    def columns(self, x: Any) -> Sequence[NDArray[Any]]:
        """Return the N values of each named feature of N rows that :meth:`predict_batch` took."""
        x, _ = self.monitor.grouping.split_batch(x, None)
        values = self._schema.columns_of(self._schema.batch(x), slice(None))
        return values if isinstance(values, list) else list(np.asarray(values))

    def explain(self, x: Any, scale: Scale, terms: ExplanationTerms) -> Explanation:
        """Explain the model's answer to ``x``; see :meth:`edge_sdk.EdgeDevice.explain`."""
        from edge_sdk.model.explain import explain
        from edge_sdk.model.explain_regions import ExplanationRequest

        x, _ = self.monitor.grouping.split(x, None)
        return explain(self.release, self.model, x, scale, ExplanationRequest(**terms))

    def feedback(self, number: str, label: Any = None, reward: float | None = None) -> None:
        """Join a late label or reward with a prediction.

        Args:
            number: second part of the prediction's id.
            label: plain value, or ``None``.
            reward: number, or ``None``.

        Raises:
            InputError: the prediction is unknown, the label is not a class, or it has one already.
        """
        try:
            self.monitor.feedback(number, label, reward)
        except InputError as error:
            self.monitor.record_error(error.kind)
            raise
        if self.personal is not None and label is not None:
            self.personal.feedback(number, label)

    def use_entities(self, pack: EntityPredictions | None) -> None:
        """Answer entities from ``pack`` from the next call on; ``None`` for no precomputed ones."""
        if pack is None:
            self.entities, self.precomputed = None, nothing
            return
        from edge_sdk.serving.entity_answers import EntityAnswerer  # only where there is a pack

        self.entities = EntityAnswerer(pack, self.monitor, self.tag, self._clock)
        self.precomputed = self.entities.stored

    def close(self) -> None:
        """Unmap the files. Do not predict afterwards."""
        if self.personal is not None:
            self.personal.close()
        for file in (self._pack, self._features):
            if file is not None:
                file.close()

    def _count(self, error: EdgeError) -> None:
        if isinstance(error, ReloadError):
            self.scrub.add(self.release.variant.model, str(error))  # the disk is to blame
        elif isinstance(error, ReleaseError):
            self.errors, self.trouble = self.errors + 1, str(error)
        self.monitor.record_error(error.kind if isinstance(error, InputError) else "model")

    def _ask_model_and_cloud(
        self, checked: Any, deadline: float | None, state: RecurrentState | None
    ) -> tuple[Prediction, Label | None, Outputs]:
        """Return the answer to serve, and the on-device model's own label and outputs if it ran."""
        if self.asks_cloud and self._rule.first:
            served = self._ask(checked, deadline)
            if served is not None:
                return served, None, {}
        state = state or RecurrentState(self.release.manifest.signature)
        outputs = self._inputs.run(checked, state.feed)
        state.update(outputs)
        local = self._answers.read(outputs, self._answers.model)
        own = local.label
        if self.asks_cloud and self._rule.first:
            return self._answers.degraded(local), own, outputs
        served = self._settle(checked, local, deadline) if self.asks_cloud else local
        return served, own, outputs

    def _settle(self, checked: Any, local: Prediction, deadline: float | None = None) -> Prediction:
        """Return ``local`` if it is confident, else the cloud's answer."""
        assert self._rule.threshold is not None
        # Scores of several labels say nothing about the confidence in one.
        scores = None if local.confidence is None else local._scores
        if is_confident(scores, self._rule.metric, self._rule.threshold):
            return local
        return self._ask(checked, deadline) or self._answers.degraded(local)

    def _ask(self, checked: Any, deadline: float | None) -> Prediction | None:
        """Return the cloud's answer; ``None`` if there is none in time."""
        assert self._cloud is not None
        wait = self.terms.cascade.deadline_ms / 1e3 if deadline is None else deadline
        if wait <= 0 or not self._breaker.allows():
            return None
        # Imported on the first question: most devices never ask.
        from edge_sdk.contract.fleet import CloudRequest

        manifest = self.release.manifest
        request = CloudRequest(manifest.model, manifest.version, self._inputs.values(checked))
        try:
            served = self._answers.from_cloud(self._cloud(request, wait))
        except EdgeError:
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return served
