"""The request of ``edge-convert convert``, handed to :func:`converters.conversion.convert`.

The only place of the command line that knows the keywords of ``convert``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.cli.options import CascadeMetric
from converters.cli.row_files import read_rows
from converters.errors import ConversionError
from edge_sdk.model.release import Release


@dataclass(frozen=True)
class ConversionRequest:
    """The options of the command, as they were written; see :mod:`converters.cli.options`."""

    model: Path
    data: Path
    label: str | None
    groups: tuple[str, ...]
    classes: str | None
    outputs: str | None
    threshold: float | None
    kinds: tuple[str, ...]
    embedding: str | None
    name: str
    out: Path
    version: str
    parent: str | None
    licence: str | None
    purpose: str
    limits_of_use: tuple[str, ...]
    ignore_extra: bool
    trust: bool
    variants: str | None
    budget: str | None
    target: str | None
    ship: str | None
    seconds: float | None
    p99_ms: float | None
    rss_mb: float | None
    calibrate_against: Path | None
    cascade_metric: CascadeMetric
    cascade_disagreement: float

    def run(self, convert: Callable[..., Release], progress: Callable[[str], None]) -> Release:
        """Read the rows, convert, and return the release that was written.

        Args:
            convert: :func:`converters.conversion.convert`.
            progress: called with a line for each step.

        Raises:
            ConversionError: with the reasons; nothing was written.
        """
        from converters.release_spec import CascadeTarget
        from edge_sdk.contract.manifest import Budget

        rows = read_rows(self.data, self.label, self.groups)
        return convert(
            self.model,
            rows.X,
            rows.y,
            name=self.name,
            out=self.out,
            version=self.version,
            licence=self.licence,
            purpose=self.purpose,
            limits_of_use=self.limits_of_use,
            trust=self.trust,
            groups=rows.groups,
            extra_columns="ignore" if self.ignore_extra else "refuse",
            budget=self.budget,
            target=self.target,
            device_budget=Budget(self.p99_ms, self.rss_mb),
            cascade=CascadeTarget(self.cascade_metric, self.cascade_disagreement),
            progress=progress,
            **self._optional(),
        )

    def _optional(self) -> dict[str, Any]:
        """Keywords of ``convert`` whose defaults stand where an option was left out."""
        keywords: dict[str, Any] = {}
        if self.classes is not None:
            keywords["classes"] = _labels(self.classes)
        if self.outputs is not None:
            keywords["output"] = _outputs(self.outputs)
        if self.threshold is not None:
            keywords["threshold"] = self.threshold
        if self.kinds:
            keywords["kinds"] = _kinds(self.kinds)
        if self.embedding is not None:
            keywords["embedding"] = False if self.embedding == "none" else self.embedding
        if self.variants is not None:
            keywords["variants"] = _variants(self.variants)
        if self.ship is not None:
            keywords["ship"] = self.ship.split(",")
        if self.seconds is not None:
            keywords["seconds"] = self.seconds
        if self.calibrate_against is not None:
            keywords["calibrate_against"] = Release.open(self.calibrate_against)
        if self.parent is not None:
            keywords |= {"parent": self.parent, "mode": "stateful"}
        return keywords


def _labels(text: str) -> list[Any]:
    """Labels by comma: whole numbers if all of them are, else texts."""
    labels = [label.strip() for label in text.split(",")]
    if "" in labels or len(set(labels)) < len(labels):
        raise ConversionError(f"--classes: expected different labels by comma, got {text!r}")
    try:
        return [int(label) for label in labels]
    except ValueError:
        return labels


def _outputs(text: str) -> Any:
    """A kind for the output that answers, or ``NAME=KIND`` of several by comma."""
    if "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _kinds(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [
        text for text, (name, _, kind) in zip(texts, pairs, strict=True) if not name or not kind
    ]
    if wrong:
        raise ConversionError(f"--kind: expected INPUT=KIND, such as x=image; got {wrong[0]!r}")
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _variants(text: str) -> list[str]:
    from converters.quantization.variants import VARIANTS

    return list(VARIANTS) if text == "all" else text.split(",")
