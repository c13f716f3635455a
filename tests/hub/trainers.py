"""Training functions of all kinds, for runs."""

from __future__ import annotations

import time
from typing import Any

from sklearn.linear_model import LogisticRegression

from cloud_hub.runs import TrainingContext


def good(context: TrainingContext) -> Any:
    return LogisticRegression(max_iter=300).fit(context.fresh.X, context.fresh.y)


def stateful(context: TrainingContext) -> Any:
    model = context.parent_estimator()
    return model.fit(context.fresh.X, context.fresh.y)


def worse(context: TrainingContext) -> Any:
    return LogisticRegression().fit(context.fresh.X, 1 - context.fresh.y)


def raises(context: TrainingContext) -> Any:
    raise RuntimeError("no disk left on the moon")


def wrong_type(context: TrainingContext) -> Any:
    return {"not": "a model"}


def hangs(context: TrainingContext) -> Any:
    time.sleep(600)
