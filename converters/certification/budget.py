"""What a variant may cost: ``size<=200KB p99<=50us flips<=0.1% accuracy-drop<=0.2%``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from converters.certification.parity import Tolerances
from converters.errors import ConversionError
from edge_sdk.contract.certificate import VariantResult

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
"""What can be limited, and the units that say how much."""

_SMALLEST: Final = {"size": "B", "download": "B", "row": "us", "p99": "us", "load": "ms"}
"""In which unit a limit is kept; shares have none."""

_LIMIT: Final = re.compile(r"([a-z0-9-]+)<=([0-9.]+(?:e-?[0-9]+)?)([a-zµ%]*)", re.IGNORECASE)


@dataclass(frozen=True)
class BudgetLimits:
    """Upper limits by what they limit: bytes, µs, ms to load, shares."""

    limits: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> BudgetLimits:
        """Read a budget.

        Raises:
            ConversionError: a limit is none, with what can be said.
        """
        found: dict[str, float] = {}
        for word in text.replace(",", " ").split():
            match = _LIMIT.fullmatch(word)
            name = match[1].lower() if match else ""
            if match is None or name not in _UNITS or match[3].lower() not in _UNITS[name]:
                raise ConversionError(
                    f"budget: expected limits such as size<=200KB p99<=50us flips<=0.1% "
                    f"accuracy-drop<=0.2%, of {', '.join(_UNITS)}; got {word!r}"
                )
            found[name] = float(match[2]) * _UNITS[name][match[3].lower()]
        if not found:
            raise ConversionError("budget: expected at least one limit, such as size<=200KB")
        return cls(found)

    def told(self) -> str:
        """The budget in the smallest units, as :meth:`parse` reads it."""
        return " ".join(
            f"{n}<={value:.12g}{_SMALLEST.get(n, '')}" for n, value in self.limits.items()
        )

    def tolerances(self, base: Tolerances) -> Tolerances:
        """What variants may differ by: the budget's word where it has one."""
        return replace(
            base,
            flips=self.limits.get("flips", base.flips),
            probability=self.limits.get("difference", base.probability),
            score_drop=self.limits.get("accuracy-drop", base.score_drop),
        )

    def exceeded(self, result: VariantResult, original_score: float | None) -> str:
        """Which limits a variant breaks; empty if it keeps all."""
        drop = 0.0
        if original_score is not None and result.score is not None:
            drop = max(0.0, original_score - result.score)
        came = {
            "size": float(result.bytes),
            "download": float(result.gzip_bytes),
            "row": result.row_us,
            "p99": result.p99_us if result.p99_us is not None else result.row_us,
            "load": result.load_ms,
            "flips": result.label_flips,
            "difference": result.max_difference,
            "accuracy-drop": drop,
        }
        broken = [
            f"{name} is {_told(came[name], name)}, allowed {_told(limit, name)}"
            for name, limit in self.limits.items()
            if came[name] > limit
        ]
        return "; ".join(broken)

    def choose(
        self, results: Mapping[str, VariantResult], original_score: float | None
    ) -> str | None:
        """The smallest variant that keeps every limit; among equals the fastest."""
        within = [
            result
            for result in results.values()
            if result.accepted and not self.exceeded(result, original_score)
        ]
        return min(within, key=lambda r: (r.bytes, r.row_us)).name if within else None


def pareto(results: Mapping[str, VariantResult]) -> set[str]:
    """Accepted variants that no other one beats in bytes, row time and difference at once."""
    accepted = [result for result in results.values() if result.accepted]

    def cost(result: VariantResult) -> tuple[float, float, float]:
        return result.bytes, result.row_us, result.max_difference

    def beaten(one: VariantResult) -> bool:
        return any(
            all(a <= b for a, b in zip(cost(other), cost(one), strict=True))
            and cost(other) != cost(one)
            for other in accepted
        )

    return {result.name for result in accepted if not beaten(result)}


def _told(value: float, name: str) -> str:
    """A value with its unit; bytes whole."""
    unit = _SMALLEST.get(name, "")
    return f"{value:,.0f} {unit}" if unit == "B" else f"{value:.4g} {unit}".rstrip()
