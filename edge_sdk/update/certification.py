"""The choice among the variants of a release and the execution providers of one device.

Each pair that the device may use is probed here. Of those that answer right and keep the budget
the fastest serves; the order of preference stands where another is not clearly faster. Invariants:

* What was found is on the disk, with the environment that it was found in: runtime, devices,
  drivers, permitted providers. In another environment it is found anew before anything serves.
* A pair that ends the process as it is tried is named on the disk before, and not tried again; with
  it every other pair of the same accelerator. A process that ends on purpose takes the name back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.update.choice import VariantChoice, VariantTrial
from edge_sdk.update.probe import ProbeResult, is_faster, measured, over_budget

if TYPE_CHECKING:
    from edge_sdk.model.options import RuntimeOptions
    from edge_sdk.model.release import Release

FASTER: Final = 0.9
"""A pair is preferred to an earlier one if it takes at most this share of its time."""

ENDED: Final = "the process ended while it was tried"


def certify(
    candidates: Sequence[Release],
    options: RuntimeOptions,
    environment: Mapping[str, str],
    *,
    before: VariantChoice | None,
    note: Callable[[VariantChoice], None],
    lenient: bool = False,
) -> VariantChoice:
    """Try every candidate on this device and choose.

    Args:
        candidates: a release once for each variant and provider, in the order of preference.
        options: threads and options of the providers.
        environment: facts of now.
        before: what the disk has of an earlier time; it may have been cut short.
        note: has a choice on the disk, before a trial begins that might end the process.
        lenient: with nothing within the budget the fastest serves that answers right.

    Raises:
        ReleaseError: none may serve; it says why, of each.
    """
    trials = [VariantTrial(each.variant.name, each.provider or CPU) for each in candidates]
    ended = _ended(before, environment)
    # The CPU first: what an accelerator's libraries hold stays in the process.
    for i in sorted(range(len(trials)), key=lambda i: trials[i].provider != CPU):
        if _is_out(trials[i], ended):
            trials[i] = replace(trials[i], refused=ENDED)
            continue
        if len(trials) > 1:
            note(VariantChoice(environment, tuple(trials), trying=i))
        trials[i] = _tried(candidates[i], trials[i], options)
    if len(trials) > 1:
        # The last trial is over: should none be chosen now, it is not to blame for an end later.
        note(VariantChoice(environment, tuple(trials)))
    chosen, because = _best(candidates, trials, options, lenient=lenient)
    return VariantChoice(environment, tuple(trials), chosen, because)


def _ended(before: VariantChoice | None, environment: Mapping[str, str]) -> list[VariantTrial]:
    """Return the trials that ended a process in this same environment."""
    if before is None or before.environment != environment:
        return []
    ended = [each for each in before.trials if each.refused == ENDED]
    if before.trying is not None and 0 <= before.trying < len(before.trials):
        ended.append(before.trials[before.trying])
    return ended


def _is_out(trial: VariantTrial, ended: Sequence[VariantTrial]) -> bool:
    return any(
        trial.provider == each.provider and (trial.provider != CPU or trial.variant == each.variant)
        for each in ended
    )


def _tried(candidate: Release, trial: VariantTrial, options: RuntimeOptions) -> VariantTrial:
    try:
        result = measured(candidate, options)
    except ReleaseError as error:
        return replace(trial, refused=str(error))
    return _figures(trial, result, over_budget(candidate.manifest.budget, result))


def _figures(trial: VariantTrial, result: ProbeResult, beyond: str | None) -> VariantTrial:
    return replace(
        trial,
        beyond=beyond,
        row_us=round(result.row_us, 3),
        p99_ms=round(result.p99_ms, 6),
        memory_mb=None if result.memory_mb is None else round(result.memory_mb, 1),
        difference=result.difference,
        nodes=dict(result.nodes or {}),
    )


def _best(
    candidates: Sequence[Release],
    trials: Sequence[VariantTrial],
    options: RuntimeOptions,
    *,
    lenient: bool,
) -> tuple[int, str]:
    """Return the index of the trial that serves, and why."""
    may = [i for i, each in enumerate(trials) if each.serves]
    if may:
        best = may[0]
        for i in may[1:]:
            fast = (trials[i].row_us or 0.0) <= FASTER * (trials[best].row_us or 0.0)
            if fast and _is_faster(candidates[best], candidates[i], options):
                best = i
        return best, _because(trials, may, best)
    slow = [i for i, each in enumerate(trials) if each.refused is None]
    if lenient and slow:
        best = min(slow, key=lambda i: trials[i].row_us or 0.0)
        return best, f"the fastest of those that answer right; none keeps the {trials[best].beyond}"
    reasons = [each.refused or each.beyond or "" for each in trials]
    if len(trials) == 1:
        raise ReleaseError(reasons[0])
    named = "; ".join(f"{t.name}: {why}" for t, why in zip(trials, reasons, strict=True))
    raise ReleaseError(f"no variant works here; {named}")


def _is_faster(one: Release, other: Release, options: RuntimeOptions) -> bool:
    try:
        return is_faster(one, other, options, FASTER)
    except ReleaseError:
        return False  # each runs, but there is no room for both: the order of preference stands


def _because(trials: Sequence[VariantTrial], may: Sequence[int], best: int) -> str:
    if len(may) == 1:
        return (
            "it alone answers right within the budget" if len(trials) > 1 else "there is no other"
        )
    if best == may[0]:
        return "the first in the order of preference, and none of the others is clearly faster"
    return (
        f"the fastest: {trials[best].row_us:g} µs a row, "
        f"{trials[may[0]].name} {trials[may[0]].row_us:g} µs"
    )
