"""Requests to infer as calls of a model on the device, and its answers as those of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_sdk.local_server.infer_answer import AnswerHead, InferAnswer, check_outputs, encoded
from edge_sdk.local_server.infer_request import InferRequest, parse_infer_request
from edge_sdk.local_server.refusal import BAD_REQUEST, NOT_IMPLEMENTED, RequestRefused
from edge_sdk.local_server.release_tensors import OutputTensor, ReleaseTensors
from edge_sdk.local_server.served_models import ServedModel

if TYPE_CHECKING:
    from edge_sdk.model.prediction import BatchPrediction, Prediction

GROUP: Final = "group."
"""Beginning of the parameters that name groups: ``group.sex`` is that of the column ``sex``."""

FEATURE: Final = "feature."
"""Beginning of the parameters that come with an entity, in place of its stored features."""

IDS: Final = "prediction_ids"
"""Parameter of a request of several rows that wants their ids, and the output that they come in."""


def infer(
    model: ServedModel, body: bytes, json_bytes: int | None, version: str | None = None
) -> InferAnswer:
    """Answer a request to infer.

    Args:
        model: that is asked.
        body: of the request.
        json_bytes: length of its JSON; ``None`` if there are no raw bytes behind it.
        version: that the client asks for; ``None`` for whichever serves.

    Raises:
        RequestRefused: it is not what the protocol expects, or no such release serves.
        InputError: the input does not fit the model.
        ReleaseError: the model failed.
    """
    tensors = model.tensors(version)
    request = parse_infer_request(body, json_bytes, tensors.inputs)
    if request.outputs is not None:
        check_outputs(request, (*tensors.outputs, IDS, "items", "scores"))
    features = _prefixed(request.parameters, FEATURE)
    if "entity" in request.parameters and not request.tensors:
        return _answer_one(model, request, tensors, features)
    if features is not None:
        raise RequestRefused(BAD_REQUEST, f"{FEATURE}…: expected with an entity, without inputs")
    x, rows = tensors.application_input(request.tensors)
    if rows == 1:
        return _answer_one(model, request, tensors, x)
    return _answer_batch(model, request, tensors, x, rows)


def predict_row(model: ServedModel, row: bytes) -> Prediction:
    """Answer one row of the model's only input, in its dtype, little-endian.

    Raises:
        RequestRefused: the model's input is no row of one dtype.
        InputError: the row does not fit the model.
        ReleaseError: the model failed.
    """
    tensors = model.tensors()
    dtype = tensors.row_dtype
    if dtype is None or tensors.stateful:
        raise RequestRefused(
            NOT_IMPLEMENTED, "this model's input is no row of numbers: send a frame to infer"
        )
    if len(row) % dtype.itemsize:
        raise RequestRefused(BAD_REQUEST, f"expected a row of {dtype.name}, got {len(row)} bytes")
    return model.calls.predict(np.frombuffer(row, dtype))


def _answer_one(
    model: ServedModel, request: InferRequest, tensors: ReleaseTensors, x: Any
) -> InferAnswer:
    parameters = request.parameters
    if tensors.stateful:
        p = model.sequences.stream(parameters).predict(x, **_call_options(parameters))
    elif parameters:
        own = {name: parameters[name] for name in ("entity", "unit") if name in parameters}
        p = model.calls.predict(x, **own, **_call_options(parameters))
    else:
        p = model.calls.predict(x)
    outputs = tensors.of_prediction(p)
    head = AnswerHead(tensors.manifest.model, p.version, _about(p))
    return encoded(request, head, outputs, p.source, 1)


def _answer_batch(
    model: ServedModel, request: InferRequest, tensors: ReleaseTensors, x: Any, rows: int
) -> InferAnswer:
    parameters = request.parameters
    for name in ("entity", "deadline_ms"):
        if name in parameters:
            raise RequestRefused(BAD_REQUEST, f"{name}: expected one row, got {rows}")
    groups = _prefixed(parameters, GROUP)
    if groups is not None:
        # The protocol has plain values here: one is that of all rows.
        groups = {n: v if type(v) is list else [v] * rows for n, v in groups.items()}
    batch = model.calls.predict_batch(x, unit=parameters.get("unit"), groups=groups)
    outputs = tensors.of_batch(batch)
    if parameters.get(IDS) is True:
        outputs.append(_ids(batch))
    about: dict[str, Any] = {"source": batch.source}
    if batch.personalised is not None:
        about["personalised"] = batch.personalised.tolist()
    head = AnswerHead(tensors.manifest.model, batch.version, about)
    return encoded(request, head, outputs, batch.source, len(batch))


def _call_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return deadline and groups of a request, as ``predict`` takes them."""
    options = {n: parameters[n] for n in ("deadline_ms",) if n in parameters}
    groups = _prefixed(parameters, GROUP)
    return options if groups is None else {**options, "groups": groups}


def _prefixed(parameters: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """Return the parameters whose names begin with ``prefix``, without it; ``None`` for none."""
    found = {n.removeprefix(prefix): v for n, v in parameters.items() if n.startswith(prefix)}
    return found or None


def _about(p: Prediction) -> dict[str, Any]:
    about: dict[str, Any] = {"prediction_id": p.id, "source": p.source, "degraded": p.degraded}
    if p.confidence is not None and p.confidence == p.confidence:  # NaN is no JSON
        about["confidence"] = p.confidence
    if p.personalised:
        about["personalised"] = True
    if p.age is not None:
        about["age_seconds"] = p.age
    return about


def _ids(batch: BatchPrediction) -> OutputTensor:
    ids = np.empty(len(batch), object)
    ids[:] = batch.ids
    return OutputTensor(IDS, "BYTES", ids)
