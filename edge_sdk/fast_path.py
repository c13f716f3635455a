"""The prepared way of one row, from the application's array to the answer: most calls go here.

Invariants:

* It answers a float array of the declared width with finite values; whatever else comes it declines
  with ``None`` before anything is counted, and the general way of :mod:`edge_sdk.serving` answers
  or refuses. Both ways give identical answers.
* Its buffers belong to one thread, and what it returns is the caller's: nothing refers to them.
* It takes no lock and waits for nothing but the model. Beside the answer it makes the row's bytes,
  its key if there is a pack, and one tuple for the monitoring ring.

What is done here in one function is done for its speed: on small models a call of a Python function
costs as much as a tenth of the prediction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import isfinite, nan
from time import perf_counter_ns
from typing import Any, Final

import numpy as np

from edge_sdk.answers import Answers
from edge_sdk.errors import ReleaseError
from edge_sdk.inference import BoundRow, Model, Outputs
from edge_sdk.keys import Canonicaliser
from edge_sdk.monitor import Monitor
from edge_sdk.pack import Pack
from edge_sdk.prediction import Prediction
from edge_sdk.schema import InputSchema

FastPath = Callable[[Any], Prediction | None]
Settle = Callable[[bytes, Prediction], Prediction]
"""Asks the cloud where the model's own answer is not sure enough, else gives it back."""

_ARRAY: Final = np.ndarray
_NARROW: Final = np.dtype("float32")
_WIDE: Final = np.dtype("float64")
_CODES: Final = {"float32": "f", "float64": "d", "float16": "e"}
_LIMIT: Final = float(np.finfo(np.float32).max) ** 2
"""A row whose sum of squares is below it holds no NaN, no infinity, and fits into float32."""


def prepare(
    model: Model,
    schema: InputSchema,
    answers: Answers,
    monitor: Monitor,
    *,
    pack: Pack | None,
    settle: Settle | None,
) -> FastPath | None:
    """A fast path for the calling thread; ``None`` where this release needs the general way.

    That is a release with columns of several dtypes or tensors, outputs of open shape, a label that
    does not follow from the probabilities, or several targets.
    """
    dense = schema.dense
    if dense is None or dense.dtype != "float32" or answers.label is not None:
        return None
    bound = model.bind(answers.needed)
    read = _reader(bound.outputs, answers) if bound is not None else None
    if bound is None or read is None:
        return None
    return _path(bound, read, schema, answers, monitor, pack, settle)


def _path(
    bound: BoundRow,
    read: Callable[[], Prediction],
    schema: InputSchema,
    answers: Answers,
    monitor: Monitor,
    pack: Pack | None,
    settle: Settle | None,
) -> FastPath:
    place, run, record = bound.place, bound.run, monitor.record
    shape = (schema.width,)
    find = pack.get if pack is not None else None
    key_of, from_pack = Canonicaliser(schema.signature).key, answers.from_pack

    def answer(x: Any) -> Prediction | None:
        if type(x) is not _ARRAY or x.shape != shape:
            return None
        dtype = x.dtype
        if (dtype is not _NARROW and dtype is not _WIDE) or not float(x.dot(x)) < _LIMIT:
            return None
        started = perf_counter_ns()
        row = x.tobytes() if dtype is _NARROW else x.astype(_NARROW).tobytes()
        key = None
        if find is not None:
            key = key_of(row)
            stored = find(key)
            if stored is not None:
                prediction = from_pack(stored)
                record(row, prediction, None, perf_counter_ns() - started, key)
                return prediction
        place[:] = row
        try:
            run()
        except Exception as error:
            raise ReleaseError(f"the model failed; {error}") from error
        prediction = read()
        own = prediction.label
        if settle is not None:
            prediction = settle(row, prediction)
        record(row, prediction, own, perf_counter_ns() - started, key)
        return prediction

    return answer


def _reader(outputs: Outputs, answers: Answers) -> Callable[[], Prediction] | None:
    """Makes the answer of what is in ``outputs`` now; ``None`` where that takes more than here."""
    origin = answers.model
    if answers.generic:
        return lambda: Prediction(
            origin, 0, None, None, outputs={n: b[0].copy() for n, b in outputs.items()}
        )
    scored = answers.probabilities or answers.value
    if scored is None or (answers.probabilities and answers.value):
        return None
    buffer, classes = outputs[scored], answers.classes
    if buffer.dtype.name not in _CODES or buffer.size != (len(classes) or 1):
        return None
    # Unpacking Python floats takes half the time of tolist, and a copy comes for nothing.
    unpack, memory = struct.Struct(_CODES[buffer.dtype.name] * buffer.size).unpack, buffer.data
    if not classes:
        return lambda: Prediction(origin, 0, None, None, None, unpack(memory)[0])

    def classify() -> Prediction:
        scores = unpack(memory)
        largest = max(scores)
        confidence = largest if isfinite(sum(scores)) else nan
        return Prediction(origin, 0, classes[scores.index(largest)], confidence, scores)

    return classify
