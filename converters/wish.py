"""What a release is to be called and to carry, apart from the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
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

UNWRITTEN: Final = {n: FileRef(0, "0" * 64) for n in (MODEL, PROFILE, GOLDEN, CERTIFICATE)}
"""Stands for the files of a release while it is being made."""


@dataclass(frozen=True)
class Wish:
    """The caller's part of a manifest, and the folder to write.

    Raises:
        ConversionError: the folder exists.
        ContractError: the name or the version is none.
    """

    name: str
    out: Path
    version: str = "1.0"
    lineage: Lineage = Lineage()
    budget: Budget = Budget()
    licence: str | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        Version.parse(self.version)
        if self.out.exists():
            raise ConversionError(f"{self.out}: exists already; releases are never overwritten")

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
