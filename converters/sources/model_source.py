"""``ModelSource``: all that differs between the frameworks that models come from.

The pipeline (:mod:`converters.pipeline.release_pipeline`) knows models only through this protocol.
It calls ``export`` and ``signature`` first, builds a float32 release of them, gives that to
``reference`` and ``verify``, and asks the rest afterwards.

Networks of other frameworks come as ONNX files that were held to them: to support another one,
write one file in :mod:`converters.frameworks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from converters.certification.reference import Reference
from converters.samples.groups import DeclaredGroups
from edge_sdk.contract.manifest import Column, Signature, Task
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.model.release import Feed, Golden, Release


class ModelSource(Protocol):
    """A trained model together with the samples that its files are checked on."""

    @property
    def kind(self) -> str:
        """Kind of model, for ``manifest.training["estimator"]``."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Top-level modules of the framework that the model comes from, as far as known."""

    @property
    def task(self) -> Task:
        """Task of the release."""

    @property
    def exact(self) -> tuple[str, ...]:
        """Variants that must pass :meth:`verify`; all others are held to the tolerances."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Fields of the chosen :class:`VariantResult` that the manifest repeats."""

    @property
    def rows(self) -> int:
        """Number of samples that answers are checked on."""

    @property
    def groups(self) -> tuple[DeclaredGroups, ...]:
        """Declared groups of the checked samples."""

    def export(self) -> Any:
        """Return the model as an ONNX ModelProto; the same model gives the same bytes.

        Raises:
            UnsupportedModel: parts of it have no ONNX form.
        """

    def signature(self) -> Signature:
        """Return the signature of the exported model."""

    def reference(self, float32: Release) -> Reference:
        """Return the model's own answers to the checked samples.

        ``float32`` is the exported model, for sources that have no other runtime to ask.
        """

    def verify(self, release: Release) -> Mapping[str, str]:
        """Hold ``release`` to the model on samples of every kind, missing values included.

        Returns:
            Entries for ``manifest.training``: what the check brought to light.

        Raises:
            ParityError: it answers differently.
        """

    def columns(self, release: Release) -> tuple[Column, ...]:
        """Return the columns of the signature with what each may hold, as verified on ``release``.

        Raises:
            ParityError: ``release`` answers differently from the model to texts that both take.
        """

    def run(self, release: Release) -> Feed:
        """Return the answers of ``release`` to the checked samples, by output name."""

    def timed(self) -> Feed:
        """Return the samples that latency is measured on, as input tensors."""

    def calibration(self) -> list[Feed]:
        """Return samples that quantizers learn ranges from, one feed a row."""

    def profile(self, release: Release, answers: Feed) -> ReferenceProfile:
        """Return the reference profile of the chosen ``release``.

        Args:
            release: the chosen variant.
            answers: its answers, as :meth:`run` gave them.
        """

    def golden(self, release: Release, answers: Feed) -> Golden:
        """Return the golden vectors of the chosen ``release``.

        Args:
            release: the chosen variant.
            answers: its answers, as :meth:`run` gave them.
        """
