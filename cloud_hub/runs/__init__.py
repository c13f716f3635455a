"""Retraining runs: queue, worker, offline gate.

A training function is ``train(context: TrainingContext)``. It returns a fitted estimator, the path
of an ``.onnx`` or ``.skops`` file, or :class:`Trained` if there is more to say.
"""

from __future__ import annotations

from cloud_hub.runs.context import LabelledRows, Trained, TrainingContext

__all__ = ["LabelledRows", "Trained", "TrainingContext"]
