"""ONNX files that somebody exported as a ``ModelSource``: the file itself is the reference.

There is no other framework to compare with, so golden vectors are the chosen file's own answers on
this machine, and variants are held to the answers of the file as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters.certification.golden import recorded_vectors
from converters.certification.profile import group_profiles, reference_profile
from converters.certification.reference import Reference
from converters.errors import ConversionError
from converters.onnx_export.cleanup import tidy
from converters.onnx_export.export import clean
from converters.samples.groups import check_rows, declare
from converters.samples.rows import Rows, refuse_swapped
from converters.sources.onnx_signature import OnnxLayout, input_specs, signature_of, width_of
from edge_sdk.contract.manifest import Column, Signature, Task, TensorSpec
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.model.release import Feed, Golden, Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.model.state import initial_state

CALIBRATION_ROWS: Final = 200
"""Samples that static quantization learns ranges from."""


class OnnxSource:
    """An ``.onnx`` file and the samples that its variants are checked on.

    Raises:
        ConversionError: an unreadable file, tensors of an unknown type, or samples that do not fit.
    """

    kind = "onnx"
    metrics = ("score", "score_bound")
    # The file's own answers are no exact truth: every variant is held to the tolerances.
    exact: tuple[str, ...] = ()

    def __init__(
        self, model: Any, X: Any, y: Any = None, *, groups: Any = None, layout: OnnxLayout
    ) -> None:
        """Read the file and bind it to its samples.

        Args:
            model: path of the file, or its ModelProto.
            X: an array or DataFrame [N, features], a feed, or a list of feeds.
            y: labels of the samples, [N].
            groups: declared groups, as :func:`converters.convert` takes them.
            layout: facts that the file does not say.
        """
        self._proto = _load(model) if isinstance(model, Path) else _cleaned(model)
        inputs = input_specs(self._proto)
        refuse_swapped(X, y, width_of(inputs))
        names = [spec.name for spec in inputs] if isinstance(X, list) else None
        X, self.groups = declare(X, groups, names=names, width=width_of(inputs))
        self._signature = signature_of(self._proto, X, layout)
        self._feed = _feed(InputSchema(self._signature), X) | initial_state(self._signature)
        self._targets = None if y is None else np.asarray(y)
        check_rows(self.groups, self.rows)

    @property
    def task(self) -> Task:
        """Classification where the classes are named; else outputs go out as they are."""
        return "classification" if self._signature.classes else "generic"

    @cached_property
    def rows(self) -> int:
        """Number of samples; 1 for a file that has no batch axis."""
        return len(next(iter(self._feed.values()))) if self._signature.batched else 1

    def export(self) -> Any:
        """Return the ModelProto of the file, cleaned."""
        return self._proto

    def signature(self) -> Signature:
        """Return the signature of the file."""
        return self._signature

    def reference(self, float32: Release) -> Reference:
        """Return the file's own answers.

        Raises:
            ConversionError: targets or groups that do not fit the answers.
        """
        answers = self.run(float32)
        apart = all(array.ndim and len(array) == self.rows for array in answers.values())
        if self.groups and not apart:
            raise ConversionError("groups: expected answers for each row, this model has others")
        label = self._signature.output("label")
        if label is None:
            return Reference(answers, None, {})
        count = len(answers[label.name])
        if self._targets is not None and self._targets.shape[:1] != (count,):
            received = len(self._targets) if self._targets.ndim else "one value"
            raise ConversionError(
                f"y: expected {count} values, one for each row of X; got {received}"
            )
        return Reference(answers, self._targets, {label.name: "label"})

    def verify(self, release: Release) -> Mapping[str, str]:
        """Return nothing: the file is its own reference."""
        return {}

    def columns(self, release: Release) -> tuple[Column, ...]:
        """Return the columns of the signature as they are."""
        return self._signature.columns

    def run(self, release: Release) -> Feed:
        """Return the answers of ``release`` to the samples."""
        return Model.load(release).run(self._feed)

    def timed(self) -> Feed:
        """Return all samples as input tensors."""
        return self._feed

    def calibration(self) -> list[Feed]:
        """Return one feed a row where all tensors are batched, else the whole."""
        if not self._signature.batched or self._signature.state:
            return [self._feed]
        count = min(CALIBRATION_ROWS, *(len(array) for array in self._feed.values()))
        return [{n: a[i : i + 1] for n, a in self._feed.items()} for i in range(count)]

    def profile(self, release: Release, answers: Feed) -> ReferenceProfile:
        """Return the profile of the samples; of tensors that are no table only their number."""
        signature = self._signature
        if not signature.columns:
            empty = ReferenceProfile(self.rows, ())
            return replace(empty, groups=group_profiles(empty, {}, self.groups))
        by_role: Feed = {o.role: answers[o.name] for o in signature.outputs if o.role != "other"}
        table = Rows(signature.columns, self._feed[signature.inputs[0].name])
        profile = reference_profile(table, by_role, signature.classes, self._targets)
        return replace(profile, groups=group_profiles(profile, by_role, self.groups))

    def golden(self, release: Release, answers: Feed) -> Golden:
        """Return the chosen file's own answers."""
        return recorded_vectors(self._feed, answers, batched=self._signature.batched)


def _load(path: Path) -> Any:
    import onnx

    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf, onnx and the file system each have errors of their own
        raise ConversionError(f"{path}: expected a valid ONNX model; {error}") from error
    return _cleaned(proto)


def _cleaned(proto: Any) -> Any:
    clean(proto)
    tidy(proto)
    return proto


def _feed(schema: InputSchema, X: Any) -> Feed:
    if not hasattr(X, "__len__"):
        names = [spec.name for spec in schema.signature.inputs]
        raise ConversionError(f"X: expected samples of the inputs {names}, got {type(X).__name__}")
    if schema.columns:
        return schema.batch(X)
    if isinstance(X, list) and X and isinstance(X[0], Mapping):
        feeds = [schema.row(feed) for feed in X]
        if schema.signature.state:
            return feeds[0]  # each step needs the state that the one before left
        return feeds[0] if len(feeds) == 1 else _stacked(feeds, schema.signature.inputs)
    return schema.row(X)


def _stacked(feeds: list[Feed], inputs: Sequence[TensorSpec]) -> Feed:
    """Return feeds joined along the batch axis; the first alone where they cannot be."""
    if any(spec.shape[:1] != (None,) for spec in inputs):
        return feeds[0]
    try:
        return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    except ValueError:
        return feeds[0]
