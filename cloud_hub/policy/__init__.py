"""The policy of a model: one YAML file, in its owner's git, that says how the model is kept fresh.

``conditions`` and ``rules`` are what it may say, ``reading`` reads it and tells two apart,
``service`` plans and applies.
"""

from __future__ import annotations

from cloud_hub.policy.conditions import Condition, DriftRule, PerformanceRule, VolumeRule
from cloud_hub.policy.reading import parse_policy
from cloud_hub.policy.rules import (
    BudgetPolicy,
    ExperimentPolicy,
    GatePolicy,
    GroupRule,
    PackPolicy,
    Policy,
    TrainPolicy,
    TriggerRule,
)

__all__ = [
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
