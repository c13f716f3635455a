"""Fitted scikit-learn estimators as a ``ModelSource``: the estimator itself is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification import boundary_rows, parity
from converters.certification.golden import golden_vectors
from converters.certification.parity_gate import ParityGate, answers_of, with_labels
from converters.certification.profile import group_profiles, reference_profile
from converters.certification.reference import Reference
from converters.errors import ConversionError, UnsupportedModel
from converters.estimators import label_sets
from converters.estimators.fitted_estimator import FittedEstimator
from converters.estimators.sklearn_repairs import parts_of
from converters.lowering.registry import refusal_reason
from converters.lowering.transformers.scalers import needs_own_digits
from converters.onnx_export.export import export, output_specs
from converters.onnx_export.serialise import to_bytes
from converters.quantization.variants import EXACT
from converters.samples.groups import DeclaredGroups, check_rows, declare, without_groups
from converters.samples.rows import Rows, refuse_swapped, rows_of
from converters.sources import class_labels
from edge_sdk.contract.manifest import Column, Signature, Task
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.model.release import Feed, Golden, Release
from edge_sdk.model.schema import InputSchema

CHECK_ROWS: Final = 10_000
"""Answers are checked on at most this many rows, spread over all that were given: enough to show at
95%, for all variants together, that at most 0.1% of labels differ."""

TIMED_ROWS: Final = 200
CALIBRATION_ROWS: Final = 200
"""Rows that static quantization learns ranges from, spread over the check rows."""


class EstimatorSource:
    """A fitted estimator and the rows that its files are checked on.

    Raises:
        ConversionError: rows, targets or groups that do not fit the model or each other.
        UnsupportedModel: an estimator that has no ONNX form by its nature.
    """

    metrics = ("label_flips", "flips_bound", "max_difference", "score", "score_bound")
    exact = EXACT

    def __init__(
        self,
        model: FittedEstimator,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        classes: Sequence[Any] | None = None,
        profile: Any = None,
        training: Any = None,
        rounding: float = parity.Tolerances().exact,
    ) -> None:
        """Bind the model to its samples.

        Args:
            model: the estimator.
            X: rows, [N, features], as :func:`converters.convert` takes them.
            y: labels or values of the rows, [N].
            groups: declared groups, as :func:`converters.convert` takes them.
            classes: names of the labels, where there may be several a row.
            profile: rows that the reference profile describes; default ``X``.
            training: rows that the model was trained on, if they are known.
            rounding: largest difference from the estimator that counts as rounding.
        """
        refuse_swapped(X, y, model.width)
        X, declared = declare(X, groups, names=model.names, width=model.width)
        reason = refusal_reason(model.estimator)
        if reason is not None:
            raise UnsupportedModel(f"model: {type(model.estimator).__name__} {reason}")
        self._X = X
        self._model = model = _named(model, classes)
        self._profile_rows = without_groups(profile, X, declared)
        self._joined_rows = self._rows_of(X, apart=False)
        self._model = model = model.fitting(self._joined_rows.take(self._checked))
        self._targets = _targets(y, model, len(self._joined_rows)) if model.scored else None
        check_rows(declared, len(self._joined_rows))
        self._declared = declared
        self._rounding = rounding
        self._training = without_groups(training, X, declared)

    @property
    def kind(self) -> str:
        """Name of the estimator's class."""
        return type(self._model.estimator).__name__

    @property
    def packages(self) -> tuple[str, ...]:
        """Top-level modules of the libraries that it is made of, and of the converter."""
        parts = parts_of(self._model.estimator)
        roots = {type(part).__module__.partition(".")[0] for part in parts}
        return ("skl2onnx", *sorted(roots))

    @property
    def task(self) -> Task:
        """Task of the release."""
        return self._model.task

    @property
    def rows(self) -> int:
        """Number of check rows."""
        return len(self._checked)

    @cached_property
    def groups(self) -> tuple[DeclaredGroups, ...]:
        """Declared groups of the check rows."""
        return tuple(each.take(self._checked) for each in self._declared)

    def export(self) -> Any:
        """Return the model as an ONNX ModelProto; see :meth:`ModelSource.export`."""
        return self._exported[0]

    @cached_property
    def _exported(self) -> tuple[Any, Rows, ParityGate]:
        """The model, all rows as its tensors hold them, and the gate that it has to pass.

        It takes and computes float32 where that is enough. Where a rounding changes an answer, of
        numbers that stand at a threshold or cancel, it is computed as the model computes it, and
        takes float64 if the rows need that.
        """
        parts = list(parts_of(self._model.estimator))
        proto, rows = self._export(exact=False, wide=needs_own_digits(parts))
        gate = self._gate_on(rows)
        if gate.agrees(lambda asked: _run(proto, self._signature_of(proto, rows), asked)):
            return proto, rows, gate
        proto, rows = self._export(exact=True, wide=True)
        return proto, rows, self._gate_on(rows)

    def _export(self, *, exact: bool, wide: bool) -> tuple[Any, Rows]:
        """Return the model, with one tensor for all columns, or else one for each; and its rows.

        A ColumnTransformer that selects columns by name needs them apart.
        """
        joined = self._joined_rows
        wide = wide and joined.rounded
        try:
            rows = self._rows_of(self._X, apart=False, wide=wide)
            return export(self._model, rows, exact=exact), rows
        except UnsupportedModel:
            if self._model.names is None or not hasattr(self._X, "iloc") or not joined.dense:
                raise
        apart = self._rows_of(self._X, apart=True, wide=wide)
        return export(self._model, apart, exact=exact), apart

    def _rows_of(self, X: Any, *, apart: bool, wide: bool = False) -> Rows:
        return rows_of(
            X,
            self._model.names,
            width=self._model.width,
            apart=apart,
            wide=wide,
            optional=self._model.optional,
        )

    def _gate_on(self, rows: Rows) -> ParityGate:
        check = rows.take(self._checked)
        expected = self._model.answers(check)
        return ParityGate(self._model, check, expected, self._rounding, self._training_as(rows))

    def _training_as(self, rows: Rows) -> Rows | None:
        """Return the training data in the form of ``rows``, at most so many as are checked.

        ``None`` if there is none, or it is no table of the model's own features: it may be what
        they were computed from.
        """
        if self._training is None:
            return None
        try:
            known = self._rows_of(self._training, apart=not rows.dense)
        except ConversionError:
            return None
        known = replace(known, columns=rows.columns)
        return known.take(_spread(len(known)))

    @property
    def _all_rows(self) -> Rows:
        return self._exported[1]

    @cached_property
    def _checked(self) -> NDArray[np.intp]:
        """Indices of the check rows among all."""
        return _spread(len(self._joined_rows))

    @cached_property
    def _check(self) -> Rows:
        return self._all_rows.take(self._checked)

    def signature(self) -> Signature:
        """Return the signature of the exported model."""
        return self._signature_of(self.export(), self._all_rows)

    def _signature_of(self, proto: Any, rows: Rows) -> Signature:
        signature = Signature(
            inputs=rows.tensors,
            outputs=output_specs(proto, self._model),
            columns=rows.columns,
            classes=self._model.classes,
        )
        scores = signature.output("scores")
        if scores is None:
            return signature
        return replace(signature, threshold=label_sets.threshold(scores.dtype))

    def reference(self, float32: Release) -> Reference:
        """Return the estimator's own answers to the check rows."""
        expected = self._gate.expected
        truth = None if self._targets is None else self._targets[self._checked]
        if truth is not None:
            _check_targets(truth, expected)
        return Reference(
            answers=expected,
            truth=truth,
            roles={name: name for name in expected},
            spreads=parity.spreads_of(expected),
        )

    @property
    def _gate(self) -> ParityGate:
        return self._exported[2]

    def verify(self, release: Release) -> dict[str, str]:
        """Hold ``release`` to the estimator; see :meth:`ModelSource.verify`."""
        return self._gate.pass_or_refuse(release)

    def columns(self, release: Release) -> tuple[Column, ...]:
        """Return the columns with what each text column may hold."""
        return self._gate.columns(release)

    def run(self, release: Release) -> Feed:
        """Return the answers of ``release`` to the check rows."""
        return answers_of(release, self._check)

    def timed(self) -> Feed:
        """Return the first check rows as input tensors."""
        return self._feed(self._check.take(np.arange(min(TIMED_ROWS, self.rows))))

    def calibration(self) -> list[Feed]:
        """Return check rows, spread over all, one feed a row."""
        count = min(CALIBRATION_ROWS, self.rows)
        feed = self._feed(self._check.take(np.linspace(0, self.rows - 1, count).astype(int)))
        return [{n: array[i : i + 1] for n, array in feed.items()} for i in range(count)]

    def _feed(self, rows: Rows) -> Feed:
        return InputSchema(self.signature(), missing=True).batch(rows.for_device())

    def profile(self, release: Release, answers: Feed) -> ReferenceProfile:
        """Return the profile of all rows, not only of the check rows; see :class:`ModelSource`."""
        rows = all_rows = self._all_rows
        if self._profile_rows is not None:
            rows = self._rows_of(self._profile_rows, apart=not all_rows.dense)
        held_out = answers_of(release, all_rows)
        profile = reference_profile(rows, held_out, self._model.classes, self._targets)
        groups = group_profiles(profile, held_out, self._declared, self._model.classes)
        return replace(profile, groups=groups)

    def golden(self, release: Release, answers: Feed) -> Golden:
        """Return golden vectors: check rows, and for exact variants rows of extremes too."""
        parts = [(self._check, answers, self._gate.expected)]
        corners = boundary_rows.corners(self._check)
        if release.manifest.variant in EXACT and corners is not None:
            expected = self._model.answers_if_any(corners)
            if expected is not None:
                parts.append((corners, answers_of(release, corners), expected))
        return golden_vectors(release.manifest.signature, parts, self._rounding)


def _named(model: FittedEstimator, classes: Sequence[Any] | None) -> FittedEstimator:
    """Return the model with the caller's names of its labels, of which there may be several a row.

    Raises:
        ConversionError: another number of names, or the estimator was fitted with labels.
    """
    if classes is None:
        return model
    if model.task != "multilabel":
        raise ConversionError(
            "classes: this estimator knows its own; leave classes out (they are for networks, and "
            "for estimators that give several labels a row)"
        )
    labels = class_labels.class_labels(classes, None, len(model.classes), "scores")
    return replace(model, classes=labels)


def _spread(count: int) -> NDArray[np.intp]:
    """Return the places of at most :data:`CHECK_ROWS` of so many rows, spread evenly."""
    if count <= CHECK_ROWS:
        return np.arange(count)
    return np.linspace(0, count - 1, CHECK_ROWS).astype(int)


def _run(proto: Any, signature: Signature, rows: Rows) -> Feed:
    """Return the answers of an exported model that is no release yet."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, and becomes a refusal
    session = onnxruntime.InferenceSession(
        to_bytes(proto), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    feed = InputSchema(signature, missing=True).batch(rows.for_device())
    return with_labels(dict(zip(names, session.run(names, feed), strict=True)), signature)


def _check_targets(targets: NDArray[Any], answers: Feed) -> None:
    """Refuse targets of another width than the answers: they would be scored by broadcasting."""
    # One output is [N] or [N, 1]; everything else in scored models is [N, outputs].
    given = next(answers[name] for name in ("label", "labels", "value") if name in answers)
    outputs = given.size // len(targets)
    if targets.size != outputs * len(targets):
        raise ConversionError(
            f"y: expected {outputs} of them for each row of X, as many as the model gives; got "
            f"shape {targets.shape}"
        )


def _targets(y: Any, model: FittedEstimator, rows: int) -> NDArray[Any] | None:
    if y is None:
        return None
    if model.task == "multilabel":
        return class_labels.coded_sets(y, model.classes, rows)
    targets = np.asarray(y)
    if targets.dtype.names:
        raise ConversionError("y: expected one label or value for each row of X, got records")
    if targets.ndim == 0 or len(targets) != rows:
        received = "one value" if targets.ndim == 0 else len(targets)
        raise ConversionError(f"y: expected {rows} values, one for each row of X; got {received}")
    return targets
