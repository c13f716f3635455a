"""Budgets of a model file: ``size<=200KB p99<=50us flips<=0.1% accuracy-drop<=0.2%``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from converters.certification.exact_bounds import CONFIDENCE
from converters.certification.parity import Tolerances
from converters.certification.row_counts import unshown
from converters.errors import ConversionError
from edge_sdk.contract.certificate import VariantResult

EXAMPLE: Final = "size<=200KB p99<=50us flips<=0.1% accuracy-drop<=0.2%"

_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "size": {"b": 1, "kb": 1_000, "kib": 1_024, "mb": 1_000_000, "mib": 1_048_576},
    "download": {"b": 1, "kb": 1_000, "kib": 1_024, "mb": 1_000_000, "mib": 1_048_576},
    "row": {"us": 1, "µs": 1, "ms": 1_000},
    "p99": {"us": 1, "µs": 1, "ms": 1_000},
    "load": {"us": 0.001, "ms": 1, "s": 1_000},
    "flips": {"%": 0.01, "": 1},
    "difference": {"": 1},
    "accuracy-drop": {"%": 0.01, "": 1},
}
"""Quantities that can be limited, with the factor of each unit to the smallest one."""

_SMALLEST: Final = {"size": "B", "download": "B", "row": "us", "p99": "us", "load": "ms"}
"""Unit of a stored limit; shares have none."""

_LIMIT: Final = re.compile(r"([a-z0-9-]+)<=([0-9.]+(?:e-?[0-9]+)?)([a-zµ%]*)", re.IGNORECASE)


@dataclass(frozen=True)
class BudgetTerms:
    """What limits of shares are held against.

    Attributes:
        original_score: score of the model itself; ``None`` without true answers.
        rows: check rows.
        alpha: chance to be wrong about one share of one variant.
    """

    original_score: float | None = None
    rows: int = 0
    alpha: float = 1 - CONFIDENCE


@dataclass(frozen=True)
class BudgetLimits:
    """Upper limits by quantity: bytes of the file or of its download, µs, ms to load, shares.

    Shares of labels are limits of what the rows show, not of what was seen: ``flips<=0.1%`` is kept
    only on rows enough to tell it from more.
    """

    limits: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> BudgetLimits:
        """Read a budget: limits separated by spaces or commas.

        Raises:
            ConversionError: a limit cannot be read, or there is none.
        """
        limits: dict[str, float] = {}
        for word in text.replace(",", " ").split():
            match = _LIMIT.fullmatch(word)
            name = match[1].lower() if match else ""
            if match is None or name not in _UNITS or match[3].lower() not in _UNITS[name]:
                raise ConversionError(
                    f"budget: expected limits such as {EXAMPLE}, of {', '.join(_UNITS)}; got "
                    f"{word!r}"
                )
            limits[name] = float(match[2]) * _UNITS[name][match[3].lower()]
        if not limits:
            raise ConversionError("budget: expected at least one limit, such as size<=200KB")
        return cls(limits)

    def format(self) -> str:
        """Return the budget in the smallest units, as :meth:`parse` reads it."""
        return " ".join(
            f"{n}<={value:.12g}{_SMALLEST.get(n, '')}" for n, value in self.limits.items()
        )

    def describe(self) -> str:
        """Return the budget for people: ``size ≤ 30 KB, flips ≤ 2%``."""
        return ", ".join(f"{name} ≤ {quantity_text(name, v)}" for name, v in self.limits.items())

    def tolerances(self, base: Tolerances) -> Tolerances:
        """Return ``base`` with the budget's limits in the place of its own."""
        return replace(
            base,
            flips=self.limits.get("flips", base.flips),
            probability=self.limits.get("difference", base.probability),
            score_drop=self.limits.get("accuracy-drop", base.score_drop),
            accuracy_drop=self.limits.get("accuracy-drop", base.accuracy_drop),
        )

    def exceeded(self, result: VariantResult, terms: BudgetTerms) -> str:
        """Return the limits that a variant breaks, in words; empty if it keeps all."""
        drop = 0.0
        if terms.original_score is not None and result.score is not None:
            drop = max(0.0, terms.original_score - result.score)
        measured = {
            "size": float(result.bytes),
            "download": float(result.gzip_bytes),
            "row": result.row_us,
            # Certificates of older releases have no p99; the median is the next best.
            "p99": result.p99_us if result.p99_us is not None else result.row_us,
            "load": result.load_ms,
            "flips": _shown(result.flips_bound, result.label_flips),
            "difference": result.max_difference,
            "accuracy-drop": _shown(result.drop_bound, drop),
        }
        broken = [
            f"{name} is {quantity_text(name, measured[name])}, allowed "
            f"{quantity_text(name, limit)}{_advice(name, result, limit, terms)}"
            for name, limit in self.limits.items()
            if measured[name] > limit
        ]
        return "; ".join(broken)


def _shown(bound: float | None, share: float) -> float:
    """Certificates of older releases have no bounds, and values have none."""
    return share if bound is None else bound


def _advice(name: str, result: VariantResult, limit: float, terms: BudgetTerms) -> str:
    """Say how many rows would show that so few labels differ."""
    if name != "flips" or result.flips_bound is None or not terms.rows:
        return ""
    flips = round(result.label_flips * terms.rows)
    return ": " + unshown("label flips", flips, terms.rows, limit, terms.alpha)


def quantity_text(name: str, value: float) -> str:
    """Return a limit of a budget, or what was measured of it, with its unit, for people."""
    if name in ("size", "download"):
        return f"{value / 1000:,.6g} KB" if value >= 1000 else f"{value:,.6g} B"
    if name in _SMALLEST:
        return f"{value:,.6g} {_SMALLEST[name].replace('us', 'µs')}"
    return f"{value:.6g}" if name == "difference" else f"{100 * value:.6g}%"
