"""The policy of a model: one YAML file, in its owner's git, that says how the model is kept fresh.

``sections``, ``conditions``, ``monitoring`` and ``retention`` declare its content, ``parse`` reads
it and compares two; the service in ``cloud_hub.policy`` plans and applies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloud_hub.policy.schema.batch import BatchJob, BatchSource
from cloud_hub.policy.schema.conditions import Condition, DriftRule, PerformanceRule, VolumeRule
from cloud_hub.policy.schema.sections import (
    BudgetPolicy,
    ExperimentPolicy,
    GatePolicy,
    GroupRule,
    PackPolicy,
    Policy,
    TrainPolicy,
    TriggerRule,
)

if TYPE_CHECKING:
    from cloud_hub.policy.schema.parse import parse_policy

__all__ = [
    "BatchJob",
    "BatchSource",
    "BudgetPolicy",
    "ExperimentPolicy",
    "Condition",
    "DriftRule",
    "GatePolicy",
    "GroupRule",
    "PackPolicy",
    "PerformanceRule",
    "Policy",
    "TrainPolicy",
    "TriggerRule",
    "VolumeRule",
    "parse_policy",
]


def __getattr__(name: str) -> Any:
    """Load ``parse_policy`` when it is used: ``--help`` needs no YAML."""
    if name == "parse_policy":
        from cloud_hub.policy.schema.parse import parse_policy

        return parse_policy
    raise AttributeError(name)
