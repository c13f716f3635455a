"""The policy of a model, as its owner writes it in TOML. Unknown keys are refused: a typo must not
silently switch something off. Times in seconds, shares between 0 and 1.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from cloud_hub.errors import Invalid
from edge_sdk.contract.codec import from_plain, require
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.plan import CascadePolicy, Reporting, Sharing


@dataclass(frozen=True)
class TriggerRule:
    """A rule that starts a run.

    ``time``: every ``every_seconds`` since the serving version was published. ``performance``: the
    anytime-valid upper bound of accuracy on late labels is below ``below``, on at least ``minimum``
    labels. ``volume``: labelled shared rows since the training reach ``growth`` of its rows.
    ``drift``: a feature of the serving version drifted in two windows in a row, each of at least
    ``minimum`` observations; with ``outputs`` also its labels, confidences and values (leave that
    off where packs or the cloud answer, for they change what is answered without any drift).
    """

    name: str
    kind: Literal["time", "performance", "volume", "drift"]
    every_seconds: float = 0.0
    below: float = 0.0
    growth: float = 0.05
    minimum: int = 500
    outputs: bool = False
    lookback_seconds: float = 86_400.0
    cooldown_seconds: float = 3_600.0


@dataclass(frozen=True)
class TrainPolicy:
    """How a run trains: ``entry`` is ``module:function`` of the user's ``train(context)``."""

    entry: str
    mode: Literal["stateful", "stateless"] = "stateful"
    minimum_samples: int = 200
    wait_seconds: float = 86_400.0
    timeout_seconds: float = 3_600.0
    path: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class GatePolicy:
    """What the offline gate allows: losses of accuracy on fresh rows and on the old holdout."""

    max_fresh_drop: float = 0.0
    max_forgetting: float = 0.02
    minimum_rows: int = 50
    max_bytes: int | None = None


@dataclass(frozen=True)
class CanaryPolicy:
    """How a candidate goes out: shares of the fleet, and what each step needs to pass.

    ``margin`` is the loss of accuracy that would still be acceptable; ``alpha`` the chance of a
    wrong verdict; ``minimum_labels`` are needed on each arm; ``soak_seconds`` is the least time in
    a step; a candidate that fails on ``max_failed_devices`` is withdrawn.
    """

    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 1.0)
    minimum_devices: int = 1
    minimum_labels: int = 100
    soak_seconds: float = 600.0
    margin: float = 0.02
    alpha: float = 0.05
    max_failed_devices: int = 1

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.steps, self.steps[1:], strict=False))
        require(bool(self.steps) and rising, "steps: expected shares that rise")
        require(self.steps[0] > 0 and self.steps[-1] <= 1, "steps: expected shares up to 1")


@dataclass(frozen=True)
class PackPolicy:
    """``entries`` answers to keys that ``minimum_devices`` voted for, anew ``every_seconds``."""

    every_seconds: float = 0.0
    minimum_devices: int = 20
    entries: int = 10_000
    expires_seconds: float = 30 * 86_400.0


@dataclass(frozen=True)
class Policy:
    """How one model is kept fresh. ``cloud`` names the model line that answers for the cloud."""

    cloud: str | None = None
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()
    packs: PackPolicy = PackPolicy()
    triggers: tuple[TriggerRule, ...] = ()
    train: TrainPolicy | None = None
    gate: GatePolicy = GatePolicy()
    canary: CanaryPolicy = CanaryPolicy()
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.triggers]
        require(len(set(names)) == len(names), "triggers: expected different names")


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Raises:
        Invalid: not TOML, an unknown key, or a value that means nothing; the message says where.
    """
    try:
        plain = tomllib.loads(text)
        _refuse_unknown(Policy, plain, "policy")
        return from_plain(Policy, plain, "policy")
    except (tomllib.TOMLDecodeError, ContractError) as error:
        raise Invalid(str(error)) from error


def _refuse_unknown(annotation: Any, plain: Any, path: str) -> None:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = next(a for a in typing.get_args(annotation) if a is not types.NoneType)
    if typing.get_origin(annotation) is tuple and isinstance(plain, list):
        for i, item in enumerate(plain):
            _refuse_unknown(typing.get_args(annotation)[0], item, f"{path}[{i}]")
    if not dataclasses.is_dataclass(annotation) or not isinstance(plain, dict):
        return
    hints = typing.get_type_hints(annotation)
    for key, value in plain.items():
        if key not in hints:
            raise ContractError(f"{path}.{key}: unknown; expected one of {sorted(hints)}")
        _refuse_unknown(hints[key], value, f"{path}.{key}")
