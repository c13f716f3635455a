"""Retraining runs: queue, worker, offline gate.

A training function is ``train(context: TrainingContext) -> fitted estimator``.
"""

from __future__ import annotations

from cloud_hub.runs.context import Rows, TrainingContext

__all__ = ["Rows", "TrainingContext"]
