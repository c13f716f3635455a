"""ONNX files that somebody exported as a ``ModelSource``: the file itself is the reference.

There is no other framework to compare with, so golden vectors are the chosen file's own answers on
this machine, and variants are held to the answers of the file as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters.certification import parity
from converters.certification.answering import answering
from converters.certification.golden import recorded_vectors
from converters.certification.profile import group_profiles, output_profiles, reference_profile
from converters.certification.reference import Reference, compare_tensors
from converters.certification.tensor_profile import watched_profile
from converters.errors import ParityError
from converters.memory import trim
from converters.onnx_export.external_weights import size_of
from converters.samples.groups import check_rows, declare
from converters.samples.rows import Rows, refuse_swapped
from converters.sources.module_parity import HeldFile
from converters.sources.onnx_answers import Reader, reader_of
from converters.sources.onnx_file import load_file, prepared
from converters.sources.onnx_rows import rows_of_file
from converters.sources.onnx_session import RawModel
from converters.sources.onnx_signature import OnnxLayout, input_specs, names_of, width_of
from converters.sources.watched_samples import exposed, shown, watched_samples
from edge_sdk.contract.manifest import Column, Signature, Task
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.model.release import Feed, Golden, Release
from edge_sdk.model.session import Model
from edge_sdk.model.state import initial_state

CALIBRATION_ROWS: Final = 200
"""Samples that static quantization learns ranges from."""

KEPT: Final = 16 << 20
"""Bytes of answers that are kept, so that a file is not run on all samples twice."""

_COMPARED: Final = ("label_flips", "flips_bound", "max_difference")


class OnnxSource:
    """An ``.onnx`` file and the samples that its variants are checked on.

    Raises:
        ConversionError: an unreadable file, tensors of an unknown type, samples that do not fit, or
            outputs whose meaning is not known.
    """

    # The file's own answers are no exact truth: every variant is held to the tolerances.
    exact: tuple[str, ...] = ()

    def __init__(
        self,
        model: Path | HeldFile,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        layout: OnnxLayout,
        rounding: float = parity.Tolerances().exact,
    ) -> None:
        """Read the file and bind it to its samples.

        Args:
            model: path of the file, or a file that was held to the module that it comes from.
            X: an array or DataFrame [N, features], a feed, or a list of feeds.
            y: labels or values of the samples, [N].
            groups: declared groups, as :func:`converters.convert` takes them.
            layout: facts that the file does not say.
            rounding: largest difference from the file's own answers that counts as rounding.
        """
        path = model if isinstance(model, Path) else None
        held = _file_itself(model) if isinstance(model, Path) else model
        self._proto = held.proto if path else prepared(held.proto, "model")
        self._kind, self._parity, self._packages = held.kind, held.parity, held.packages
        inputs = input_specs(self._proto)
        refuse_swapped(X, y, width_of(inputs))
        names = names_of(inputs) if isinstance(X, list) else None
        X, self.groups = declare(X, groups, names=names, width=width_of(inputs))
        domains = [entry.domain for entry in self._proto.opset_import]
        raw = RawModel(path or self._proto, str(path or "model"), domains)
        self._samples, axes = rows_of_file(raw.run, self._proto, X, layout)
        check_rows(self.groups, self.rows)
        own = self._samples.answers(raw.run, axes)
        del raw  # a large one would be in memory a second time
        trim(size_of(self._proto))
        self._reader: Reader = reader_of(self._proto, own, axes, y, layout)
        signature = replace(
            self._samples.signature,
            outputs=self._reader.outputs,
            classes=self._reader.classes,
            threshold=layout.threshold,
        )
        self._proto, signature = exposed(self._proto, signature, layout)
        self._samples, self._layout = replace(self._samples, signature=signature), layout
        self._own = self._reader.expected(own)
        self._rounding = max(rounding, self._reader.rounding(own))
        self._known: dict[str, Feed] = {}

    @property
    def kind(self) -> str:
        """Kind of model: ``onnx``, or the class of the module that the file comes from."""
        return self._kind

    @property
    def packages(self) -> tuple[str, ...]:
        """Top-level modules of the framework that the file comes from, if that is known."""
        return self._packages

    @property
    def task(self) -> Task:
        """Task, by what the outputs mean."""
        return self._reader.task

    @property
    def metrics(self) -> tuple[str, ...]:
        """Fields of the chosen variant's result that the manifest repeats."""
        scored = ("score", "score_bound")
        return (*_COMPARED, *scored) if self._reader.classes else ("max_difference", *scored)

    @property
    def rows(self) -> int:
        """Number of samples."""
        return self._samples.rows

    def export(self) -> Any:
        """Return the ModelProto of the file, cleaned, with what its outputs need behind them.

        Only once: the source does not keep it, since a large one would be in memory a second time.
        """
        proto, self._proto = self._proto, None
        return proto

    def signature(self) -> Signature:
        """Return the signature of the exported file."""
        return self._samples.signature

    def reference(self, float32: Release) -> Reference:
        """Return the file's own answers, as it came."""
        roles = {name: name for name in self._reader.scored}
        return Reference(self._own, self._reader.truth, roles)

    def verify(self, release: Release) -> Mapping[str, str]:
        """Hold ``release`` to the file as it came.

        Raises:
            ParityError: it answers differently.
        """
        answers = self.run(release)
        difference = compare_tensors(answers, self._own)
        if difference.label_flips > 0 or difference.maximum > self._rounding:
            raise ParityError(parity.refusal(difference, answers, self._own, self._rounding))
        label = {"label": "argmax"} if self._reader.is_argmax else {}
        return {**label, **self._parity}

    def columns(self, release: Release) -> tuple[Column, ...]:
        """Return the columns of the signature as they are."""
        return self._samples.signature.columns

    def run(self, release: Release) -> Feed:
        """Return the answers of ``release`` to the samples, by role where an output has one."""
        file = release.manifest.files[release.variant.model].sha256
        if file not in self._known:
            signature = release.manifest.signature
            axes = {s.name: s.batch for s in signature.outputs} if signature.batched else None
            answers = self._reader.by_role(self._samples.answers(answering(release).run, axes))
            known = (answers, *self._known.values())
            if sum(array.nbytes for each in known for array in each.values()) > KEPT:
                return answers
            self._known[file] = answers
        return dict(self._known[file])

    def timed(self) -> Feed:
        """Return the samples that latency is measured on, as input tensors."""
        signature = self._samples.signature
        if signature.state:
            return self._samples.head()
        return self._samples.feeds[0] | initial_state(signature)

    def calibration(self) -> list[Feed]:
        """Return samples as the file takes them, one row each where it lets us."""
        return self._samples.singles(CALIBRATION_ROWS)

    def profile(self, release: Release, answers: Feed) -> ReferenceProfile:
        """Return the profile of the samples: of columns, or else statistics of tensors."""
        signature, truth = self._samples.signature, self._reader.truth
        roles = {*self._reader.scored_outputs, *self._reader.scored}
        scored: Feed = {name: answers[name] for name in roles}
        if signature.columns:
            table = Rows(signature.columns, self._samples.feeds[0][signature.inputs[0].name])
            profile = reference_profile(table, scored, signature.classes, truth)
        else:
            profile = watched_profile(watched_samples(release, self._samples, self._layout))
            outputs = output_profiles(scored, signature.classes, truth)
            profile = replace(profile, rows=self.rows, outputs=outputs)
        return replace(
            profile, groups=group_profiles(profile, scored, self.groups, signature.classes)
        )

    def golden(self, release: Release, answers: Feed) -> Golden:
        """Return the chosen file's own answers to the first samples."""
        feed, signature = self._samples.head(), self._samples.signature
        model, specs = Model.load(release), shown(signature)
        if not signature.batched or signature.state:
            return recorded_vectors(feed, model.run(feed, specs))
        # In portions: all rows in one call would keep the tensors of all of them.
        head, axes = replace(self._samples, feeds=(feed,)), {s.name: s.batch for s in specs}
        answered = head.answers(lambda x: model.run(x, specs), axes)
        moved = {name: np.moveaxis(array, 0, axes[name]) for name, array in answered.items()}
        return recorded_vectors(feed, {n: np.ascontiguousarray(a) for n, a in moved.items()})


def _file_itself(path: Path) -> HeldFile:
    """Return a file that no module is there for; who wrote it, it says itself."""
    proto = load_file(path)
    producer = f"{proto.producer_name} {proto.producer_version}".strip()
    return HeldFile("onnx", proto, {"producer": producer} if producer else {})
