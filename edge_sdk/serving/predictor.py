"""One release in service: the path of every prediction.

The order is pack, model, and the cloud only when the model is unsure. Invariants:

* The pack was made for this release; both come together and are replaced together.
* A call takes no lock and waits for nothing but the model, or for the cloud within its deadline.
* Whatever goes wrong with the cloud, the model's own answer is returned, marked ``degraded``.
* The prepared way of :mod:`edge_sdk.serving.fast_path` and the general way here give identical
answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.manifest import Label
from edge_sdk.contract.serving_terms import CascadePolicy, Reporting, Sharing
from edge_sdk.contract.window import Window
from edge_sdk.errors import EdgeError, InputError, ReleaseError
from edge_sdk.model.inputs import inputs_for
from edge_sdk.model.outputs import Answers
from edge_sdk.model.prediction import BatchPrediction, Prediction
from edge_sdk.model.release import Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.model.state import RecurrentState
from edge_sdk.serving.cascade import CircuitBreaker, is_sure, rule
from edge_sdk.serving.fast_path import FastPath, prepare
from edge_sdk.telemetry.groups import GroupValues
from edge_sdk.telemetry.monitor import Monitor
from edge_sdk.telemetry.reports import Scope
from edge_sdk.telemetry.ring_records import sampled
from edge_sdk.validation import deadline_of

if TYPE_CHECKING:  # a device without hub and pack starts without them
    from edge_sdk.contract.fleet import CloudReply, CloudRequest
    from edge_sdk.packs.entity_features import EntityFeatures
    from edge_sdk.packs.reader import Pack

CloudCall = Callable[["CloudRequest", float], "CloudReply"]
"""Asks the cloud; the second argument is the deadline in seconds. Raises :class:`HubError`."""


NOTHING_SERVES: Final = dict.fromkeys(("model", "version", "pack", "features", "experiment", "arm"))
"""The status of a device without a release."""


@dataclass(frozen=True)
class ServingTerms:
    """Under which a release serves: its arm, and what the plan says of reporting and cloud."""

    experiment: str | None = None
    arm: str = "control"
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()


class Predictor:
    """A release that answers. Safe from any number of threads.

    Attributes:
        errors: calls on which the model failed, since somebody set it to 0.
        model: in memory; servings of one release may share it.
        watch: is given the inputs that monitoring does not keep, with their predictions.
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
        threads: int = 1,
        model: Model | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Load ``release``, unless ``model`` is it; ``pack`` and ``features`` were opened for it.

        Raises:
            ReleaseError: the model does not load.
        """
        manifest = release.manifest
        self.release = release
        self.terms = terms
        self.tag = tag
        self.errors = 0
        self.stateful = bool(manifest.signature.state)
        self.watch: Callable[[Any, Prediction], None] | None = None
        self.model = model or Model.load(release, threads)
        self._pack, self._features = pack, features
        lacking = manifest.training.get("missing") == "allowed"
        self._schema = InputSchema(manifest.signature, missing=lacking)
        self._inputs = inputs_for(self._schema, self.model)
        self._answers = Answers(manifest, tag)
        self._cloud = cloud
        self._breaker = CircuitBreaker(time.monotonic)
        self._rule = rule(manifest.cascade, terms.cascade)
        self._one_by_one = self.stateful or not manifest.signature.batched
        self._asks = cloud is not None and self._rule.asks
        self._local = threading.local()
        self.monitor = Monitor(
            release,
            self._inputs,
            Scope(tag, terms.experiment, terms.arm),
            terms.reporting,
            terms.sharing,
            share=share,
            enabled=monitoring,
            clock=clock,
        )

    def status(self) -> dict[str, str | None]:
        """What serves, under which terms; packs are named by the SHA-256 of their body."""
        manifest = self.release.manifest
        return {
            "model": manifest.model,
            "version": manifest.version,
            "pack": self._pack.header.body if self._pack is not None else None,
            "features": self._features.digest if self._features is not None else None,
            "experiment": self.terms.experiment,
            "arm": self.terms.arm,
        }

    def window(self, start: int) -> Window:
        """The window that begins at ``start``, as this release's on its arm."""
        manifest, terms = self.release.manifest, self.terms
        end = start + terms.reporting.window_seconds
        return Window(manifest.model, manifest.version, start, end, terms.experiment, terms.arm)

    def predict(self, x: Any, groups: GroupValues | None = None) -> Prediction:
        """Answer one input; ``groups`` are those that are no columns of the model.

        Raises:
            InputError: the input does not fit the model; the model did not run.
            ReleaseError: the model failed on it.
        """
        try:
            fast: FastPath | None = self._local.fast
        except AttributeError:
            fast = self._local.fast = self._prepare()
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
    ) -> Prediction:
        """Answer one input the general way.

        Args:
            x: the input.
            deadline_ms: that this call waits for the cloud, instead of the plan's.
            state: what a stateful model remembers; its next state is kept there. Without it the
                input is the first of a sequence.
            groups: those that are no columns of the model.

        Raises:
            InputError: the input does not fit the model, or this is no deadline; the model did not
                run.
            ReleaseError: the model failed on it.
        """
        started = time.perf_counter_ns()
        try:
            deadline = None if deadline_ms is None else deadline_of(deadline_ms)
            x, groups = self.monitor.grouping.split(x, groups)
            said = None if groups is None else self.monitor.grouping.encode(groups)
            given = self._inputs.check(x)
            key = self._inputs.key(given) if self._pack is not None else None
            found = self._pack.get(key) if self._pack is not None and key else None
            if found is not None:
                prediction, own = self._answers.from_pack(found), None
            else:
                prediction, own = self._ask_model_and_cloud(given, deadline, state)
        except EdgeError as error:
            self._count(error)
            raise
        took = time.perf_counter_ns() - started
        kept = self._inputs.kept(given)
        self.monitor.record(kept, prediction, own, took, said)
        if kept is None and self.watch is not None:
            self.watch(given, prediction)
        return prediction

    def again(self, given: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Labels, confidences and values that the model alone gives; nothing is counted.

        ``given`` are inputs as a serving of the same schema checked them. What an answer lacks is
        ``None``.

        Raises:
            ReleaseError: the model failed on one of them.
        """
        dense = self._schema.dense
        if dense is None or self._one_by_one:
            run, read = self._inputs.run, self._answers.read
            found = [read(run(x, {}), self._answers.model) for x in given]
            return [p.label for p in found], [p.confidence for p in found], [p.value for p in found]
        feed = {dense.name: self._inputs.columns(given).T}
        batch = self._answers.batch(self.model.run(feed, self._answers.needed))
        columns = (batch.labels, batch.confidences, batch.values)
        nothing: list[Any] = [None] * len(given)
        labels, confidences, values = (nothing if c is None else c.tolist() for c in columns)
        return labels, confidences, values

    def joined(self, entity: str, streaming: Any) -> dict[str, Any]:
        """A row of stored features of ``entity`` and of ``streaming`` ones, by column name.

        Raises:
            InputError: no batch features are in force, or something else than names was given.
        """
        streaming = {} if streaming is None else streaming
        try:
            if self._features is None:
                raise InputError("entity", "no batch features are in force: give the whole row")
            if not isinstance(streaming, Mapping):
                came = type(streaming).__name__
                raise InputError("shape", f"expected streaming features by column name, got {came}")
            row, known = self._features.join(entity, streaming)
        except InputError as error:
            self._count(error)
            raise
        if not known:
            self.monitor.record_defaulted()
        return row

    def predict_batch(self, x: Any, groups: GroupValues | None = None) -> BatchPrediction:
        """Answer N inputs with the model; neither pack nor cloud is asked. ``groups`` holds N
        values of each that is no column of the model.

        Raises:
            InputError: the rows do not fit the model; the model did not run.
            ReleaseError: the model failed.
        """
        grouping = self.monitor.grouping
        try:
            if self._one_by_one:
                raise InputError("batch", "this model takes one input at a time: use predict")
            x, groups = grouping.split_batch(x, groups)
            feed = self._schema.batch(x)
            outputs = self.model.run(feed, self._answers.needed)
            batch = self._answers.batch(outputs)
            codes = grouping.batch(feed, groups, len(batch)) if grouping else None
        except EdgeError as error:
            self._count(error)
            raise
        rows = sampled(len(batch))
        self.monitor.record_batch(rows, self._schema.columns_of(feed, rows), batch, codes)
        return batch

    def feedback(self, number: str, label: Any = None, reward: float | None = None) -> None:
        """Join a late label or reward, both plain values, with a prediction.

        Raises:
            InputError: unknown prediction, a label that is no class, or one that came already.
        """
        try:
            self.monitor.feedback(number, label, reward)
        except InputError as error:
            self.monitor.record_error(error.kind)
            raise

    def close(self) -> None:
        """Unmap the files. Nothing may be predicted after it."""
        for file in (self._pack, self._features):
            if file is not None:
                file.close()

    def _prepare(self) -> FastPath | None:
        if self._asks and self._rule.first:
            return None
        return prepare(
            self.model,
            self._schema,
            self._answers,
            self.monitor,
            pack=self._pack,
            settle=self._settle if self._asks else None,
        )

    def _count(self, error: EdgeError) -> None:
        self.errors += isinstance(error, ReleaseError)
        self.monitor.record_error(error.kind if isinstance(error, InputError) else "model")

    def _ask_model_and_cloud(
        self, given: Any, deadline: float | None, state: RecurrentState | None
    ) -> tuple[Prediction, Label | None]:
        """The answer to serve, and the on-device model's own label if it was asked."""
        if self._asks and self._rule.first:
            served = self._ask(given, deadline)
            if served is not None:
                return served, None
        state = state or RecurrentState(self.release.manifest.signature)
        outputs = self._inputs.run(given, state.feed)
        state.keep(outputs)
        local = self._answers.read(outputs, self._answers.model)
        own = local.label
        if self._asks and self._rule.first:
            return self._answers.degraded(local), own
        return (self._settle(given, local, deadline) if self._asks else local), own

    def _settle(self, given: Any, local: Prediction, deadline: float | None = None) -> Prediction:
        """``local`` where it is sure enough, else the cloud's answer."""
        assert self._rule.threshold is not None
        if is_sure(local._scores, self._rule.metric, self._rule.threshold):
            return local
        return self._ask(given, deadline) or self._answers.degraded(local)

    def _ask(self, given: Any, deadline: float | None) -> Prediction | None:
        """The cloud's answer; ``None`` if there is none in time."""
        assert self._cloud is not None
        wait = self.terms.cascade.deadline_ms / 1e3 if deadline is None else deadline
        if wait <= 0 or not self._breaker.allows():
            return None
        from edge_sdk.contract.fleet import CloudRequest

        manifest = self.release.manifest
        request = CloudRequest(manifest.model, manifest.version, self._inputs.values(given))
        try:
            served = self._answers.from_cloud(self._cloud(request, wait))
        except EdgeError:
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return served
