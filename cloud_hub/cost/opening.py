"""What models cost, opened with the services that it reads, and told of by those that use it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_hub.cost.service import ModelCosts

if TYPE_CHECKING:
    from cloud_hub.hub import Hub


def opened_costs(hub: Hub) -> ModelCosts:
    """Return the costs of a hub whose packs, forms and experiments are open."""
    costs = ModelCosts(
        hub.settings.data, hub.engine, hub.registry, hub.packs, hub.forms, hub.telemetry,
        hub.experiments,
    )  # fmt: skip
    hub.batches.note_cost = costs.computed
    return costs
