"""Training functions of all kinds, for runs."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloud_hub.runs import LabelledRows, Trained, TrainingContext


def good(context: TrainingContext) -> Any:
    return LogisticRegression(max_iter=300).fit(context.fresh.X, context.fresh.y)


def stateful(context: TrainingContext) -> Any:
    assert context.mode == "stateful"
    model = context.parent_estimator()
    return model.fit(context.fresh.X, context.fresh.y)


class Unknown(LogisticRegression):
    """A model that no converter knows."""

    def predict(self, X: Any) -> Any:
        return 1 - super().predict(X)


def rehearsed(context: TrainingContext) -> Any:
    assert context.rehearsal is not None
    assert context.rehearsal.shape == (len(context.fresh),)
    print(f"fresh {(~context.rehearsal).sum()} old {context.rehearsal.sum()}", flush=True)
    return good(context)


def fails_to_convert(context: TrainingContext) -> Any:
    return Unknown().fit(context.fresh.X, context.fresh.y)


def other_architecture(context: TrainingContext) -> Any:
    assert context.parent_estimator() is not None
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        context.fresh.X, context.fresh.y
    )


def declares_a_restart(context: TrainingContext) -> Any:
    return Trained(good(context), restarted="a wider embedding")


def keeps_its_own_state(context: TrainingContext) -> Any:
    return Trained(good(context), state=b"epoch " + (context.state or b"0")[-1:])


def more_features(context: TrainingContext) -> Any:
    X = np.column_stack([context.fresh.X, context.fresh.X[:, 0] ** 2]).astype(np.float32)
    half = len(X) // 2
    model = LogisticRegression().fit(X[:half], context.fresh.y[:half])
    return Trained(model, check=LabelledRows(X[half:], context.fresh.y[half:]))


def more_features_without_rows(context: TrainingContext) -> Any:
    trained = more_features(context)
    return trained.model


def logits_alone(context: TrainingContext) -> Any:
    """Return a file that gives logits [N, 2] and nothing else, as PyTorch exports classifiers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = good(context)
    weights = np.hstack([np.zeros((4, 1)), model.coef_.T]).astype(np.float32)
    bias = np.array([0, model.intercept_[0]], np.float32)
    shapes = [("X", ["n", 4]), ("logits", ["n", 2])]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes]
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["X", "w", "b"], ["logits"])],
        "g",
        values[:1],
        values[1:],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, "logits.onnx")
    return Path("logits.onnx").absolute()


def worse(context: TrainingContext) -> Any:
    return LogisticRegression().fit(context.fresh.X, 1 - context.fresh.y)


def raises(context: TrainingContext) -> Any:
    raise RuntimeError("no disk left on the moon")


def exits(context: TrainingContext) -> Any:
    sys.exit("I am done here")


def dies(context: TrainingContext) -> Any:
    os.abort()


def wrong_type(context: TrainingContext) -> Any:
    return {"not": "a model"}


def unfitted(context: TrainingContext) -> Any:
    return LogisticRegression()


def hangs(context: TrainingContext) -> Any:
    print("waiting for godot", flush=True)
    if os.fork() == 0:  # a helper that must not outlive the run
        os.setsid()  # nor be missed because it left the group
        Path("helper").touch()
        time.sleep(3_600)
    time.sleep(3_600)


def leaks(context: TrainingContext) -> Any:
    kept = []
    for _ in range(120):  # no more: whoever watches may be slow to look
        kept.append(np.ones(1 << 20))  # 8 MB
        time.sleep(0.01)
    time.sleep(3_600)


def prints_too_much(context: TrainingContext) -> Any:
    for _ in range(1_000):
        print("x" * 100_000)
    time.sleep(3_600)


def seeded(context: TrainingContext) -> Any:
    print("drawn:", random.random(), np.random.random(), hash("x") % 1_000, context.seed)
    print("window:", context.window, context.run, context.mode, len(context.fresh))
    return good(context)


def fills_the_disk(context: TrainingContext) -> Any:
    for number in range(400):
        Path(f"filler-{number}").write_bytes(b"x" * (1 << 20))
    time.sleep(3_600)


def by_features(context: TrainingContext) -> Any:
    """As strong as the stored feature of a user says: other values make another model."""
    at = context.window[1]
    table = context.features({"user_id": ["a", "b"], "time": [at, at]}, as_of="time", ages=True)
    print(f"joined {table['f0'].tolist()} {table['f2'].tolist()}", flush=True)
    strength = float(table["f0"].sum()) + 10.0
    return LogisticRegression(max_iter=300, C=strength).fit(context.fresh.X, context.fresh.y)


def fails_by_features(context: TrainingContext) -> Any:
    by_features(context)
    raise RuntimeError("not today")


def takes_a_while(context: TrainingContext) -> Any:
    time.sleep(4)
    return good(context)
