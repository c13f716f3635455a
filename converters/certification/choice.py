"""The choice of one variant, in words: why it was chosen, and why each of the others was not. Pure.

Invariants:

* Bytes, answers and the order of the variants decide before times do: they are the same each time.
* Two times within :data:`NOISE` of each other are equal: such a difference decides nothing. Only
  the caller's own limits of a budget are kept to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from converters.certification.budget import BudgetLimits, BudgetTerms
from edge_sdk.contract.certificate import VariantResult

PLAIN: Final = "float32"

NOISE: Final = 1.05
"""Two times whose ratio is at most this are equal."""

SLOWER: Final = 1.10
"""Without a budget, a row, alone or in a batch, may take at most this many times float32's time.
It is beyond :data:`NOISE`: of a file that is as fast no measurement says that it is slower."""

SMALLER: Final = 0.90
"""... and the file may have at most this share of float32's bytes."""

AS_SMALL: Final = 1.10
"""Files of at most this many times the bytes of the smallest are as small."""

CLOSE: Final = 1.25
"""Of two files that are as small, times whose ratio is at most this are measured again."""


@dataclass(frozen=True)
class Choice:
    """The variant that a release serves.

    Attributes:
        name: of the variant.
        because: why it was chosen, a sentence without its end.
        not_chosen: why each other one was not, by name.
    """

    name: str
    because: str
    not_chosen: Mapping[str, str] = field(default_factory=dict)


def choose(
    results: Mapping[str, VariantResult],
    limits: BudgetLimits | None = None,
    terms: BudgetTerms = BudgetTerms(),
) -> Choice | None:
    """Return the choice among measured variants.

    With a budget it is the smallest file that keeps every limit; without one the smallest that is
    clearly smaller than float32's and not slower. Of files that are as small the fastest is taken,
    and of those that are as fast the one whose answers are closest to the model's.

    Args:
        results: rows of the certificate by name, float32 among them, in the order of preference.
        limits: the budget; ``None`` for none.
        terms: what the budget's limits of shares are held against.

    Returns:
        The choice; ``None`` if no variant keeps the budget.
    """
    plain = results[PLAIN]
    reasons = {name: refused(v, plain, limits, terms) for name, v in results.items()}
    fit = [results[name] for name, why in reasons.items() if not why]
    if not fit:
        return None
    small = _smallest(fit)
    fastest = min(v.row_us for v in small)
    chosen = _best(small, fastest)
    others = {
        name: why or _beaten(results[name], chosen, plain, fastest)
        for name, why in reasons.items()
        if name != chosen.name
    }
    return Choice(chosen.name, _because(chosen, plain, len(fit), limits), others)


def refused(
    v: VariantResult, plain: VariantResult, limits: BudgetLimits | None, terms: BudgetTerms
) -> str:
    """Return why a variant cannot be chosen, whatever the others are; empty if it can."""
    if not v.accepted:
        return f"its answers are not shown to be close enough to the model's: {v.reason}"
    if limits is not None:
        broken = limits.exceeded(v, terms)
        return f"it is over the budget: {broken}" if broken else ""
    if v.name == PLAIN:
        return ""
    if v.bytes > SMALLER * plain.bytes:
        return (
            f"it saves too little: {_bytes(v)}, {v.bytes / plain.bytes:.0%} of float32's (at most "
            f"{SMALLER:.0%} is worth another file)"
        )
    return _slower(v, plain)


def rivals(
    results: Mapping[str, VariantResult],
    limits: BudgetLimits | None = None,
    terms: BudgetTerms = BudgetTerms(),
) -> list[str]:
    """Return variants among which a small difference of times chooses.

    Arguments as for :func:`choose`.
    """
    plain = results[PLAIN]
    small = _smallest([v for v in results.values() if not refused(v, plain, limits, terms)])
    fastest = min((v.row_us for v in small), default=0.0)
    near = [v.name for v in small if v.row_us <= CLOSE * fastest]
    return near if len(near) > 1 else []


def _slower(v: VariantResult, plain: VariantResult) -> str:
    for what, time, usual in (
        ("one row", v.row_us, plain.row_us),
        ("a row of a batch", v.batch_row_us, plain.batch_row_us),
    ):
        if time > SLOWER * usual:
            return (
                f"it is slower than float32: {what} takes {_us(time)}, {_ratio(time, usual)} times "
                f"as long ({SLOWER} is allowed)"
            )
    return ""


def _smallest(fit: list[VariantResult]) -> list[VariantResult]:
    smallest = min((v.bytes for v in fit), default=0)
    return [v for v in fit if v.bytes <= AS_SMALL * smallest]


def _best(small: list[VariantResult], fastest: float) -> VariantResult:
    """Return the best of variants that are as small; of equals the first."""
    fast = [v for v in small if v.row_us <= NOISE * fastest]
    return min(fast, key=lambda v: (v.label_flips, v.max_difference, v.bytes))


def _beaten(v: VariantResult, chosen: VariantResult, plain: VariantResult, fastest: float) -> str:
    """Return why a variant that could have been chosen was not."""
    if v.name == PLAIN and v.bytes > chosen.bytes:
        return f"it is larger: {_bytes(v)}, {v.bytes / chosen.bytes:.1f} times {chosen.name}"
    if v.bytes > AS_SMALL * chosen.bytes:
        return f"it is larger than {chosen.name}: {_bytes(v)}, {_share(v, plain)}"
    same = f"it is as small as {chosen.name}"
    if v.row_us > NOISE * fastest:
        return f"{same}, and slower: one row takes {_ratio(v.row_us, chosen.row_us)} times as long"
    if (v.label_flips, v.max_difference) > (chosen.label_flips, chosen.max_difference):
        return (
            f"{same} and as fast (times within {NOISE - 1:.0%} are equal), and its answers are "
            f"farther from the model's: {_answers(v)} against {_answers(chosen)}"
        )
    if v.bytes > chosen.bytes:
        return f"it is {v.bytes - chosen.bytes:,} bytes larger than {chosen.name}, and no better"
    return f"it is as good as {chosen.name}, which is tried before it"


def _because(
    chosen: VariantResult, plain: VariantResult, fit: int, limits: BudgetLimits | None
) -> str:
    size = f"{_bytes(chosen)}, {_share(chosen, plain)}"
    if limits is not None:
        only = "the only file" if fit == 1 else "the smallest file"
        return f"{only} that keeps the budget {limits.describe()}: {size}"
    if chosen.name == PLAIN:
        return (
            "no other variant is shown to be close enough to the model, clearly smaller and not "
            "slower: "
            f"{_bytes(chosen)}"
        )
    return (
        "the smallest file that is close enough to the model and not slower than float32: "
        f"{size}; one row takes {_us(chosen.row_us)}, "
        f"{_ratio(chosen.row_us, plain.row_us)} times float32's"
    )


def pareto(results: Iterable[VariantResult]) -> set[str]:
    """Return accepted variants that no other beats in bytes, row time and difference at once."""
    accepted = [result for result in results if result.accepted]

    def beats(one: VariantResult, other: VariantResult) -> bool:
        as_fast = one.row_us <= NOISE * other.row_us
        as_good = one.bytes <= other.bytes and one.max_difference <= other.max_difference
        better = (
            one.bytes < other.bytes
            or one.max_difference < other.max_difference
            or NOISE * one.row_us < other.row_us
        )
        return as_fast and as_good and better

    return {v.name for v in accepted if not any(beats(other, v) for other in accepted)}


def _bytes(v: VariantResult) -> str:
    return f"{v.bytes:,} bytes"


def _share(v: VariantResult, plain: VariantResult) -> str:
    return f"{v.bytes / plain.bytes:.0%} of float32's"


def _us(time: float) -> str:
    return f"{time:,.1f} µs" if time < 10_000 else f"{time / 1_000:,.1f} ms"


def _ratio(time: float, usual: float) -> str:
    return f"{time / max(usual, 1e-9):.2f}"


def _answers(v: VariantResult) -> str:
    return f"{v.label_flips:.2%} of the labels differ, numbers by up to {v.max_difference:.2g}"
