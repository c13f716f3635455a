"""The caller's part of a release: its name, version, lineage and terms, and the folder to write."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from converters.errors import ConversionError
from converters.samples.fingerprint import count_rows, fingerprint
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Budget,
    FileRef,
    Lineage,
    Manifest,
    RuntimeNeeds,
    Signature,
    Task,
    Variant,
)
from edge_sdk.contract.names import Version, check_name
from edge_sdk.contract.serving_terms import Metric
from edge_sdk.system.files import check_writable

UNWRITTEN: Final = {n: FileRef(0, "0" * 64) for n in (MODEL, PROFILE, GOLDEN, CERTIFICATE)}
"""Placeholders for the files of a release while it is being made."""


@dataclass(frozen=True)
class CascadeTarget:
    """Terms on which an answer may stand without the cloud.

    Attributes:
        metric: measure of how sure an answer is; see
            :func:`edge_sdk.serving.cascade.confidence`.
        disagreement: largest allowed share of answers that stand and differ from the cloud's.
        alpha: chance that the certificate is wrong.
    """

    metric: Metric = "max_probability"
    disagreement: float = 0.02
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise ConversionError(
                f"metric: expected one of {get_args(Metric)}, got {self.metric!r}"
            )
        if not (0 < self.disagreement < 1 and 0 < self.alpha < 1):
            raise ConversionError("disagreement, alpha: expected numbers between 0 and 1")


@dataclass(frozen=True)
class ReleaseSpec:
    """Name, version and terms of a release, and the folder to write.

    Attributes:
        name: of the model.
        out: folder to write; it must not exist.
        version: ``MAJOR.MINOR``.
        lineage: parent, mode and data set of the version.
        budget: latency and memory that a device must keep to activate it.
        licence: of the model, as an SPDX identifier.
        cascade: terms of the cascade, where one is certified.
        purpose: what the model is for; empty if nobody said.
        limits_of_use: what it must not be used for, as its makers said.
        data_given: the lineage's fingerprint is of the training data; else of the check rows.
        extra_ignored: devices leave out columns that are no features, instead of refusing them.
        origin: where the model came from, as texts by name.
        reported: metrics that its training reported.

    Raises:
        ConversionError: the folder exists, or could not be made; the version is none, or the parent
            no earlier one; a limit of the budget that nothing can keep.
        ContractError: the name is none.
    """

    name: str
    out: Path
    version: str = "1.0"
    lineage: Lineage = Lineage()
    budget: Budget = Budget()
    licence: str | None = None
    cascade: CascadeTarget = CascadeTarget()
    purpose: str = ""
    limits_of_use: tuple[str, ...] = ()
    data_given: bool = True
    extra_ignored: bool = False
    origin: Mapping[str, str] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("name", self.name)
        version, parent = _version("version", self.version), self.lineage.parent
        if parent is not None and not _version("parent", parent) < version:
            raise ConversionError(f"parent: expected one before {version}, got {parent}")
        _check_device_budget(self.budget)
        if not isinstance(self.licence, str | None):
            raise ConversionError(f"licence: expected an SPDX identifier, got {self.licence!r:.60}")
        # Now, not after a conversion that may take minutes.
        try:
            if self.out.exists():
                raise ConversionError(f"{self.out}: exists already; releases are never overwritten")
            check_writable(self.out, parents=True)
        except OSError as error:
            raise ConversionError(f"{self.out}: cannot be written; {error.strerror}") from error

    def manifest(
        self, task: Task, signature: Signature, proto: Any, training: Mapping[str, str]
    ) -> Manifest:
        """Return the manifest of a release of a model, its files still unwritten.

        Args:
            task: of the model.
            signature: its tensors and columns.
            proto: the ModelProto, for the operator sets that a device needs.
            training: entries about the model and its conversion.
        """
        return Manifest(
            model=self.name,
            version=self.version,
            task=task,
            signature=signature,
            files=UNWRITTEN,
            variants=(Variant("float32", needs_of(proto)),),
            lineage=self.lineage,
            budget=self.budget,
            licence=self.licence,
            training=training,
        )


def needs_of(proto: Any) -> RuntimeNeeds:
    """Return what a ModelProto requires of onnxruntime."""
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    return RuntimeNeeds(proto.ir_version, opsets)


def path_of(out: Any) -> Path:
    """Return the folder to write.

    Raises:
        ConversionError: ``out`` is no path.
    """
    if not isinstance(out, str | os.PathLike):
        raise ConversionError(f"out: expected the path of a folder, got {type(out).__name__}")
    path = Path(out)
    if "\0" in str(path):
        raise ConversionError(f"out: expected the path of a folder, got {out!r:.60} with NUL in it")
    return path


def lineage_of(mode: Any, parent: Any, data: tuple[Any, Any]) -> Lineage:
    """Return the lineage of a version.

    Args:
        mode: ``stateless`` or ``stateful``.
        parent: version that it continues; a stateful one needs it.
        data: the data set ``(X, y)`` that it was trained on.

    Raises:
        ConversionError: another mode, no parent, or rows of different lengths.
    """
    if mode not in ("stateless", "stateful"):
        raise ConversionError(f"mode: expected stateless or stateful, got {mode!r}")
    if mode == "stateful" and parent is None:
        raise ConversionError("parent: a stateful version continues another; say which")
    if parent is not None:
        _version("parent", parent)
    return Lineage(mode, parent, fingerprint(*data), count_rows(data[0]))


def _version(field: str, text: Any) -> Version:
    if isinstance(text, int | float):
        # 1.10 would arrive as 1.1, another version: guessing is not safe.
        raise ConversionError(
            f'{field}: expected text such as "1.1", got the number {text}; put quotes around it'
        )
    if not isinstance(text, str):
        raise ConversionError(f'{field}: expected text such as "1.1", got {type(text).__name__}')
    try:
        return Version.parse(text)
    except ContractError as error:
        raise ConversionError(f"{field}: {error}") from error


def _check_device_budget(budget: Any) -> None:
    if not isinstance(budget, Budget):
        raise ConversionError(
            f"device_budget: expected a Budget(p99_ms=…, rss_mb=…), got {budget!r:.60}"
        )
    for name, limit in (("p99_ms", budget.p99_ms), ("rss_mb", budget.rss_mb)):
        if limit is not None and not 0 < limit < math.inf:
            raise ConversionError(f"device_budget: {name}: expected a number above 0, got {limit}")
