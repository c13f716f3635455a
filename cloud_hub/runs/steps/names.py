"""The steps of a run, in their order, and the key by which a step is known to be the same. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

from cloud_hub.errors import Invalid

StepName = Literal[
    "collect", "validate", "train", "evaluate", "convert", "certify", "gate", "rollout"
]
STEPS: Final[tuple[StepName, ...]] = get_args(StepName)

WORKER_STEPS: Final[tuple[StepName, ...]] = ("train", "evaluate", "convert", "certify")
"""Steps that a worker takes; the hub takes the others."""

NEEDS: Final[Mapping[StepName, tuple[StepName, ...]]] = {
    "collect": (),
    "validate": ("collect",),
    "train": ("collect",),
    "evaluate": ("train",),
    "convert": ("train",),
    "certify": ("convert",),
    "gate": ("convert",),
    "rollout": ("gate",),
}
"""The steps whose outputs a step is given. Validation gives none: it only has to pass."""

TOGETHER: Final[Mapping[StepName, StepName]] = {"evaluate": "train", "certify": "convert"}
"""Steps that are taken again with the one before: they look at what it still has at hand."""


def step_of(text: str) -> StepName:
    """Return the step of a name; raises Invalid."""
    for name in STEPS:
        if name == text:
            return name
    raise Invalid(f"step: expected one of {', '.join(STEPS)}, got {text!r:.80}")


def steps_before(step: StepName) -> tuple[StepName, ...]:
    """Return the steps that come before one."""
    return STEPS[: STEPS.index(step)]


def taken_with(steps: Iterable[StepName]) -> tuple[StepName, ...]:
    """Return steps with all that depend on them, in order: those that a change takes again."""
    found = {TOGETHER.get(step, step) for step in steps}
    for step in STEPS:  # in their order, so that one look at each is enough
        if found.intersection(NEEDS[step]):
            found.add(step)
    return tuple(step for step in STEPS if step in found)


def cache_key(step: StepName, inputs: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a step and its inputs: two steps of one key have the same result.

    As far as the inputs are all that the step reads: a training that asks a database of its own
    sees more than the hub can tell.
    """
    text = json.dumps([step, inputs], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def changed_inputs(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of inputs that are others now, in order of name."""
    names = sorted({*before, *now})
    # As JSON has them: what was stored came back as lists, not as tuples.
    return tuple(n for n in names if _plain(before.get(n)) != _plain(now.get(n)))


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
