"""What a release is to be called and to carry, apart from the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from converters.errors import ConversionError
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
)
from edge_sdk.contract.names import Version, check_name
from edge_sdk.contract.serving_terms import Metric
from edge_sdk.system.files import check_writable

UNWRITTEN: Final = {n: FileRef(0, "0" * 64) for n in (MODEL, PROFILE, GOLDEN, CERTIFICATE)}
"""Stands for the files of a release while it is being made."""


@dataclass(frozen=True)
class CascadeTarget:
    """What a cascade is certified for.

    Attributes:
        metric: how sure an answer is; see :func:`edge_sdk.serving.cascade.confidence`.
        disagreement: with the cloud model, the largest allowed share among answers that stand.
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
    """The caller's part of a manifest, and the folder to write.

    Raises:
        ConversionError: the folder exists, or could not be made; the version is none, or the parent
            no earlier one.
        ContractError: the name is none.
    """

    name: str
    out: Path
    version: str = "1.0"
    lineage: Lineage = Lineage()
    budget: Budget = Budget()
    licence: str | None = None
    cascade: CascadeTarget = CascadeTarget()

    def __post_init__(self) -> None:
        check_name("name", self.name)
        version, parent = _version("version", self.version), self.lineage.parent
        if parent is not None and not _version("parent", parent) < version:
            raise ConversionError(f"parent: expected one before {version}, got {parent}")
        try:
            if self.out.exists():
                raise ConversionError(f"{self.out}: exists already; releases are never overwritten")
            check_writable(self.out, parents=True)
        except OSError as error:
            raise ConversionError(f"{self.out}: cannot be written; {error.strerror}") from error

    def manifest(
        self, task: Task, signature: Signature, proto: Any, training: Mapping[str, str]
    ) -> Manifest:
        """The manifest of a release of ``proto``, files still unwritten."""
        return Manifest(
            model=self.name,
            version=self.version,
            task=task,
            signature=signature,
            files=UNWRITTEN,
            runtime=RuntimeNeeds(
                proto.ir_version, {entry.domain: entry.version for entry in proto.opset_import}
            ),
            lineage=self.lineage,
            budget=self.budget,
            licence=self.licence,
            training=training,
        )


def _version(what: str, text: str) -> Version:
    try:
        return Version.parse(text)
    except ContractError as error:
        raise ConversionError(f"{what}: {error}") from error
