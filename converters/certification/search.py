"""The search for the best file: variants to try, and the terms on which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from converters.certification.budget import BudgetLimits
from converters.certification.exact_bounds import CONFIDENCE
from converters.certification.parity import Tolerances
from converters.errors import ConversionError
from converters.quantization.targets import Target, target_of
from converters.quantization.variants import DEFAULT, FOR_FILES, VARIANTS

SECONDS: Final = 90.0
"""Of processor time, from the beginning of the conversion: then no other variant is begun. What the
machine does besides does not count, so that a search finds the same on a busy one."""


@dataclass(frozen=True)
class SearchPlan:
    """Variants to try, with their tolerances, their budget, and the machine that they are for.

    Attributes:
        variants: names, float32 first.
        tolerances: how far a variant may differ from the model.
        limits: the budget; ``None`` chooses the smallest that is not slower than float32.
        target: where the files must run; ``None`` trusts the caller's variants.
        seconds: of processor time, after which no other variant is begun.
        for_files: those of the variants that are not tried for what our own exporter wrote.
        ship: variants that the release holds besides the one that is chosen.
    """

    variants: tuple[str, ...]
    tolerances: Tolerances
    limits: BudgetLimits | None = None
    target: Target | None = None
    seconds: float = SECONDS
    for_files: tuple[str, ...] = FOR_FILES
    ship: tuple[str, ...] = ()

    def for_our_export(self) -> SearchPlan:
        """Return the plan for a model that our own exporter writes: each variant that is tried
        costs the others certainty, so what cannot pay there is left out.
        """
        tried = tuple(name for name in self.variants if name not in self.for_files)
        return replace(self, variants=tried)

    @property
    def alpha(self) -> float:
        """Chance that a bound of one variant is wrong, so that all together keep the confidence.

        Bonferroni: one of several variants is chosen by these very bounds.
        """
        return (1 - CONFIDENCE) / len(self.variants)

    def repeat(self, folder: str) -> str:
        """Return the commands that check a release again, and that make it again."""
        convert = "edge-convert convert MODEL --data FILE --name NAME --out FOLDER"
        if not self.for_files:  # else they are the default, of which some are tried for files only
            convert += f" --variants {','.join(self.variants)}"
        if self.limits is not None:
            convert += f" --budget '{self.limits.format()}'"
        if self.target is not None:
            convert += f" --target {self.target.name}"
        if self.ship:
            convert += f" --ship {','.join(self.ship)}"
        if self.seconds != SECONDS:
            convert += f" --seconds {self.seconds:g}"
        return f"edge-convert verify {folder}; {convert}"


def plan_of(
    variants: Sequence[str] | None,
    tolerances: Tolerances,
    limits: str | None,
    target: str | None,
    ship: Sequence[str] = (),
    seconds: float = SECONDS,
) -> SearchPlan:
    """Return the plan for a caller's options; with a budget, every variant is tried.

    Args:
        variants: names of variants to try; ``None`` for those that pay most often.
        tolerances: how far a variant may differ from the model.
        limits: the budget as text, see :mod:`converters.certification.budget`.
        target: name of the machine that the files must run on.
        ship: names of variants that the release holds besides the chosen one; they are tried too.
        seconds: of processor time, after which no other variant is begun.

    Raises:
        ConversionError: an unknown variant, limit or target.
    """
    machine = target_of(target) if target is not None else None
    chosen = variants or (tuple(VARIANTS) if limits is not None else DEFAULT)
    if variants is None:
        # Elsewhere half precision is computed in float32, with casts around each operator.
        halves = ("float16",) if machine and machine.float16 else ()
        chosen = (*(name for name in chosen if name != "float16"), *halves)
    for option, asked in (("variants", chosen), ("ship", ship)):
        unknown = sorted(set(asked) - set(VARIANTS))
        if unknown:
            raise ConversionError(f"{option}: expected some of {list(VARIANTS)}, got {unknown}")
    # float32 always, and first: the others are made from it and compared with it.
    names = tuple(dict.fromkeys(("float32", *chosen, *ship)))
    budget = BudgetLimits.parse(limits) if limits is not None else None
    allowed = budget.tolerances(tolerances) if budget else tolerances
    for_files = FOR_FILES if variants is None and limits is None else ()
    shipped = tuple(dict.fromkeys(ship))
    return SearchPlan(names, allowed, budget, machine, seconds, for_files, shipped)
