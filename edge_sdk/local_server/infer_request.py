"""A request to infer: JSON, and behind it the raw bytes of the tensors that are sent as such."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from edge_sdk.contract.manifest import TensorSpec
from edge_sdk.local_server.datatypes import DATATYPES, DEEPEST, from_bytes, from_json
from edge_sdk.local_server.refusal import BAD_REQUEST, RequestRefused

UNSUPPORTED: Final = ("shared_memory_region", "classification")
"""Parameters of tensors that belong to extensions which are not offered here."""


class InferRequest(NamedTuple):
    """What a client asks.

    Attributes:
        id: the client's own name for the request, given back with the answer.
        tensors: inputs by name, of the shape that the client gave; empty where ``parameters`` name
            an entity.
        parameters: of the request.
        outputs: wanted outputs by name, and whether each is wanted as raw bytes; ``None`` for all.
        binary: True if all are wanted as raw bytes where ``outputs`` does not say.
    """

    id: str | None
    tensors: Mapping[str, NDArray[Any]]
    parameters: Mapping[str, Any]
    outputs: Mapping[str, bool] | None
    binary: bool


def parse_infer_request(
    body: bytes, json_bytes: int | None, inputs: Mapping[str, TensorSpec]
) -> InferRequest:
    """Read the body of a request.

    Args:
        body: JSON, and raw bytes.
        json_bytes: length of the JSON; ``None`` if there is nothing else.
        inputs: the model's inputs by name.

    Raises:
        RequestRefused: it is not what the protocol or the model expects.
    """
    head, raw = _divided(body, json_bytes)
    message = _json_object(head)
    parameters = _object(message, "parameters")
    binary = _flag(parameters, "binary_data_output", False)
    return InferRequest(
        _id(message),
        _tensors(_objects(message, "inputs"), raw, inputs),
        parameters,
        _outputs(message, binary),
        binary,
    )


def _divided(body: bytes, json_bytes: int | None) -> tuple[bytes | memoryview, memoryview]:
    if json_bytes is None:
        return body, memoryview(b"")
    if not 0 <= json_bytes <= len(body):
        raise _refused(f"expected JSON of at most {len(body)} bytes, got {json_bytes}")
    whole = memoryview(body)
    return whole[:json_bytes], whole[json_bytes:]


def _json_object(head: bytes | memoryview) -> dict[str, Any]:
    try:
        message = json.loads(bytes(head))
    except (ValueError, RecursionError) as error:
        raise _refused(f"expected a JSON object, got what is no JSON; {error!s:.100}") from error
    if type(message) is not dict:
        raise _refused(f"expected a JSON object, got {message!r:.60}")
    return message


def _id(message: Mapping[str, Any]) -> str | None:
    name = message.get("id")
    if name is not None and type(name) is not str:
        raise _refused(f"id: expected a text, got {name!r:.60}")
    return name


def _tensors(
    tensors: Sequence[Mapping[str, Any]], raw: memoryview, inputs: Mapping[str, TensorSpec]
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for tensor in tensors:
        name = tensor.get("name")
        spec = inputs.get(name) if type(name) is str else None
        if spec is None:
            raise _refused(f"inputs: expected some of {sorted(inputs)}, got {name!r:.60}")
        if spec.name in arrays:
            raise _refused(f"inputs: {name!r} is there twice")
        shape, size = _shape(tensor, spec), _raw_bytes(tensor, len(raw) - at)
        if size is None:
            arrays[spec.name] = from_json(spec.name, spec.dtype, tensor.get("data"), shape)
        else:
            arrays[spec.name] = from_bytes(spec.name, spec.dtype, raw[at : at + size], shape)
            at += size
    if at != len(raw):
        raise _refused(f"expected {at} raw bytes, as the inputs say, got {len(raw)}")
    return arrays


def _shape(tensor: Mapping[str, Any], spec: TensorSpec) -> list[int]:
    expected = DATATYPES[spec.dtype]
    if (datatype := tensor.get("datatype")) != expected:
        raise _refused(f"input {spec.name!r}: expected datatype {expected}, got {datatype!r:.60}")
    shape = tensor.get("shape")
    fits = type(shape) is list and len(shape) <= DEEPEST
    if not fits or any(type(size) is not int or not 0 <= size < 1 << 63 for size in shape or ()):
        raise _refused(f"input {spec.name!r}: expected a shape such as [1, 4], got {shape!r:.60}")
    return list(shape or ())


def _raw_bytes(tensor: Mapping[str, Any], left: int) -> int | None:
    """Return how many of the raw bytes are the tensor's; ``None`` for one in JSON."""
    parameters = _object(tensor, "parameters")
    _refuse_extensions(parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if "data" in tensor:
        raise _refused("inputs: expected data or binary_data_size, got both")
    if type(size) is not int or not 0 <= size <= left:
        raise _refused(
            f"binary_data_size: expected at most the {left} bytes that are left behind the JSON, "
            f"got {size!r:.60}"
        )
    return size


def _outputs(message: Mapping[str, Any], binary: bool) -> dict[str, bool] | None:
    if "outputs" not in message:
        return None
    wanted: dict[str, bool] = {}
    for output in _objects(message, "outputs"):
        name, parameters = output.get("name"), _object(output, "parameters")
        if type(name) is not str:
            raise _refused(f"outputs: expected a name, got {name!r:.60}")
        _refuse_extensions(parameters)
        wanted[name] = _flag(parameters, "binary_data", binary)
    return wanted or None


def _refuse_extensions(parameters: Mapping[str, Any]) -> None:
    for name in UNSUPPORTED:
        if name in parameters:
            raise _refused(f"{name}: this server does not offer that extension")


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    flag = parameters.get(name, default)
    if type(flag) is not bool:
        raise _refused(f"{name}: expected true or false, got {flag!r:.60}")
    return flag


def _object(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise _refused(f"{name}: expected a JSON object, got {value!r:.60}")
    return value


def _objects(message: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = message.get(name, [])
    if type(values) is not list or any(type(value) is not dict for value in values):
        raise _refused(f"{name}: expected a list of JSON objects, got {values!r:.60}")
    return values


def _refused(message: str) -> RequestRefused:
    return RequestRefused(BAD_REQUEST, message)
