"""What a conversion tries, and what it may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.certification.budget import BudgetLimits
from converters.certification.parity import Tolerances
from converters.errors import ConversionError
from converters.quantization.targets import Target, target_of
from converters.quantization.variants import DEFAULT, VARIANTS


@dataclass(frozen=True)
class SearchPlan:
    """Variants to try, what they may differ by, what they may cost, and where they must run.

    Attributes:
        variants: names, float32 first.
        tolerances: what a variant may differ by.
        limits: the budget; ``None`` chooses the smallest that is not slower than float32.
        target: where the files must run; ``None`` trusts the caller's variants.
    """

    variants: tuple[str, ...]
    tolerances: Tolerances
    limits: BudgetLimits | None = None
    target: Target | None = None

    def repeat(self, folder: str) -> str:
        """The commands that check a release again, and that make it again."""
        made = f"edge-convert convert MODEL --data FILE --variants {','.join(self.variants)}"
        if self.limits is not None:
            made += f" --budget '{self.limits.told()}'"
        if self.target is not None:
            made += f" --target {self.target.name}"
        return f"edge-convert verify {folder}; {made}"


def plan_of(
    variants: Sequence[str] | None,
    tolerances: Tolerances,
    limits: str | None,
    target: str | None,
) -> SearchPlan:
    """A plan from what the caller said; with a budget, every variant is tried.

    Raises:
        ConversionError: an unknown variant, limit or target.
    """
    chosen = variants or (tuple(VARIANTS) if limits is not None else DEFAULT)
    unknown = sorted(set(chosen) - set(VARIANTS))
    if unknown:
        raise ConversionError(f"variants: expected some of {list(VARIANTS)}, got {unknown}")
    names = ("float32", *(name for name in chosen if name != "float32"))
    budget = BudgetLimits.parse(limits) if limits is not None else None
    allowed = budget.tolerances(tolerances) if budget else tolerances
    return SearchPlan(names, allowed, budget, target_of(target) if target is not None else None)
