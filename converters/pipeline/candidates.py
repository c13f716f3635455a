"""Candidate files, built for the target.

float32 is built first: it is what the model's own answers are compared with, and what the others
are made from. Each candidate is a release folder of its own in a scratch folder, so that it is
loaded and run exactly as a device would.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from converters.certification.search import SearchPlan
from converters.errors import ConversionError, first_line
from converters.onnx_export.external_weights import load
from converters.onnx_export.serialise import write
from converters.quantization.guide import Guide
from converters.quantization.precision import precision_of
from converters.quantization.variants import VARIANTS
from converters.release_spec import UNWRITTEN, needs_of
from edge_sdk.contract.manifest import ANY, MODEL, Manifest, Variant
from edge_sdk.model.release import Release, write_release


class LeftOut(ConversionError):
    """A variant is no candidate; the message is the reason."""


class NothingSmaller(LeftOut):
    """A variant is no candidate, since the model has nothing that it could make smaller."""


class Announce(Protocol):
    """Report of a step, to the log and to the caller."""

    def __call__(self, step: str, level: int = logging.INFO) -> None:
        """Report one line at a level of :mod:`logging`."""


@dataclass(frozen=True)
class Candidates:
    """Scratch releases of every variant, made in ``folder``.

    Attributes:
        base: the manifest that all share.
        plan: what is tried, and what it may differ by.
        folder: for the scratch releases.
        announce: reports each step.
    """

    base: Manifest
    plan: SearchPlan
    folder: Path
    announce: Announce

    def build_float32(self, proto: Any) -> Release:
        """Build the exported model as it is.

        Raises:
            ConversionError: the target cannot run it.
        """
        refused = self._fit_to_target(proto)
        if refused:
            raise ConversionError(f"target: {refused}")
        self.announce("built float32")
        return self.write(self.folder / "float32", "float32", proto)

    def build(self, name: str, base: Release, guide: Guide) -> Release:
        """Build another variant.

        Args:
            name: of the variant.
            base: the model that it is made from.
            guide: data that the making may use.

        Raises:
            NothingSmaller: this model has nothing that the variant could make smaller.
            LeftOut: it cannot be made of this model, or the target cannot run it.
        """
        # Read anew for each variant: between two of them the model is not in memory.
        proto = load(base.model_path)
        try:
            made = VARIANTS[name](proto, guide)
        except ConversionError as error:
            raise LeftOut(str(error)) from error
        except Exception as error:  # quantizers have no errors of their own
            raise LeftOut(f"could not be made: {first_line(error)}") from error
        if made is None:
            raise NothingSmaller(name)
        refused = self._fit_to_target(made)
        if refused:
            raise LeftOut(refused)
        return self.write(self.folder / name, name, made)

    def _fit_to_target(self, proto: Any) -> str:
        """Lower the IR version to the target's; return why it cannot run ``proto``, or ``""``."""
        target = self.plan.target
        if target is None:
            return ""
        proto.ir_version = min(proto.ir_version, target.ir_version)
        return target.refuses(proto)

    def write(self, folder: Path, name: str, proto: Any) -> Release:
        """Write a scratch release of a model."""
        target = self.plan.target.name if self.plan.target is not None else ANY
        variant = Variant(name, needs_of(proto), precision_of(proto), target)
        # Through a file: the bytes would be in memory once more.
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / MODEL
            with path.open("wb") as file:
                write(proto, file)
            files: dict[str, bytes | Path] = {**dict.fromkeys(UNWRITTEN, b""), MODEL: path}
            return write_release(folder, replace(self.base, variants=(variant,)), files)
