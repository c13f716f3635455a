"""An answer of the protocol: JSON, and behind it the raw bytes of the tensors wanted as such.

The local server of a device and the hub answer with the same code.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from edge_sdk.local_server.datatypes import to_bytes, to_json
from edge_sdk.local_server.infer_request import InferRequest
from edge_sdk.local_server.refusal import BAD_REQUEST, RequestRefused
from edge_sdk.local_server.release_tensors import OutputTensor

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class AnswerHead(NamedTuple):
    """Of which model and version an answer is, and its ``parameters``."""

    model: str
    version: str
    parameters: Mapping[str, Any]


class InferAnswer(NamedTuple):
    """Body of an answer; ``json_bytes`` is the length of its JSON if raw bytes are behind it."""

    body: bytes
    json_bytes: int | None
    source: str
    rows: int


def check_outputs(request: InferRequest, there: Collection[str]) -> None:
    """Refuse outputs that a model does not have; raises RequestRefused."""
    for name in request.outputs or ():
        if name not in there:
            raise RequestRefused(
                BAD_REQUEST, f"outputs: expected some of {list(there)}, got {name!r:.60}"
            )


def encoded(
    request: InferRequest,
    head: AnswerHead,
    outputs: Sequence[OutputTensor],
    source: str,
    rows: int,
) -> InferAnswer:
    """Return the body of an answer.

    Args:
        request: says which outputs are wanted, and how.
        head: who answers.
        outputs: of the model.
        source: where the answer comes from.
        rows: how many were answered.
    """
    listed: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, datatype, array in outputs:
        if request.outputs is not None and name not in request.outputs:
            continue
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if request.binary if request.outputs is None else request.outputs[name]:
            raw.append(to_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            tensor["data"] = to_json(array)
        listed.append(tensor)
    message = {
        "model_name": head.model,
        "model_version": head.version,
        "parameters": head.parameters,
        "outputs": listed,
    }
    if request.id is not None:
        message["id"] = request.id
    text = _encode(message).encode()
    return InferAnswer(b"".join((text, *raw)), len(text) if raw else None, source, rows)
