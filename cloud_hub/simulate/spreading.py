"""Simulations of one question under many seeds, several at once: seeds travel, outcomes come back.

A simulation is a function of scenario, policy, experiment and seed, so that it is the same wherever
it is drawn. What comes back is read as data, and never unpickled.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.engine.engine import SpreadTask
from cloud_hub.errors import HubFault
from cloud_hub.simulate.outcome import Simulated
from cloud_hub.simulate.world import simulate
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.simulate.scenario import Scenario

OUTCOME_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class SimulationOrder:
    """What all seeds share: the fleet, the policy that the hub has, how candidates are tried."""

    scenario: Scenario
    policy: Policy
    experiment: ExperimentSpec | None


def simulated(engine: Engine, order: SimulationOrder, seeds: Iterable[int]) -> Iterator[Simulated]:
    """Yield the simulation under each seed, in their order.

    Args:
        engine: that computes.
        order: what all seeds share.
        seeds: of all that is drawn.

    Raises:
        Invalid: see :func:`cloud_hub.simulate.world.simulate`.
        EngineUnavailable: the engine cannot be reached.
        HubFault: a task failed.
    """
    task = SpreadTask(f"{__name__}:simulate_seed", pickle.dumps(order))
    for raw in engine.spread(task, (str(seed).encode() for seed in seeds)):
        try:
            yield decode(Simulated, raw, limit=OUTCOME_BYTES)
        except ContractError as error:
            raise HubFault(f"simulate: a task returned no simulation; {error}") from error


def simulate_seed(common: bytes, item: bytes) -> bytes:
    """Simulate under one seed.

    Args:
        common: a pickled :class:`SimulationOrder`, of this package's own making.
        item: the seed, as text.

    Returns:
        The :class:`Simulated`, as JSON.
    """
    order: SimulationOrder = pickle.loads(common)
    return encode(simulate(order.scenario, order.policy, order.experiment, seed=int(item)))
