"""The Open Inference Protocol v2: every published version, asked by applications that are no
devices.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import PUBLIC, CallerOfSome, hub_of, may_see, recent_person, requires
from cloud_hub.api.declared import asks_for
from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.api.posted_form import posted_token
from cloud_hub.api.request_body import raw_body
from cloud_hub.api.roles import Role
from cloud_hub.api.router import HubRouter
from cloud_hub.inference.tensor_answers import QUICK_BYTES
from cloud_hub.inference.tensor_inference import (
    LIMITS,
    TensorBody,
    TensorInference,
    as_refusals,
    here_or_apart,
)
from edge_sdk.local_server.http_message import (
    BINARY,
    EXPANSION,
    JSON,
    JSON_LENGTH,
    HttpResponse,
    number,
)

router = HubRouter(prefix="/v2", tags=["inference"])

NAME: Final = "edge-hub"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository_index")

_looked_up: Final = requires(Role.CALLER)


@asks_for(Role.CALLER.word)
async def _caller(
    request: Request, posted: Annotated[str | None, Depends(posted_token)] = None
) -> str:
    """Return who asks, without a thread and the database where a token was looked up just now."""
    known = recent_person(request, Role.CALLER)
    return known if known is not None else await run_in_threadpool(_looked_up, request, posted)


_CALLER: Final = (Depends(_caller),)


def _inference(request: Request) -> TensorInference:
    inference: TensorInference = request.app.state.tensors
    return inference


@router.get("")
def server(person: CallerOfSome) -> dict[str, Any]:
    """Return name, version and extensions of this server."""
    try:
        own = version("edge-deployment-sdk-hub")
    except PackageNotFoundError:  # run from files that nobody installed
        own = ""
    return {"name": NAME, "version": own, "extensions": list(EXTENSIONS)}


@router.get("/health/live", dependencies=PUBLIC)
async def live() -> dict[str, bool]:
    """Answer that the process lives."""
    return {"live": True}


@router.get("/health/ready", dependencies=PUBLIC)
def ready(request: Request) -> Response:
    """Answer 200 if the hub's checks pass, else 400, as the protocol has it."""
    is_ready = all(check.state != "fail" for check in hub_of(request).readiness.checks())
    return SafeJSONResponse({"ready": is_ready}, 200 if is_ready else 400)


@router.post("/repository/index")
def index(request: Request, person: CallerOfSome) -> list[dict[str, str]]:
    """Return name, version and state of the models that who asks may ask."""
    return [
        {"name": model, "version": serving, "state": "READY", "reason": ""}
        if serving is not None
        else {"name": model, "state": "UNAVAILABLE", "reason": "no version serves"}
        for model, serving in _inference(request).releases.all()
        if may_see(request, model)
    ]


@router.get("/models/{model}", dependencies=_CALLER)
@router.get("/models/{model}/versions/{version}", dependencies=_CALLER)
def metadata(request: Request, model: str, version: str | None = None) -> Any:
    """Return inputs and outputs of a model; raises NotFound."""
    return _inference(request).releases.find(model, version).tensors.metadata()


@router.get("/models/{model}/ready", dependencies=_CALLER)
@router.get("/models/{model}/versions/{version}/ready", dependencies=_CALLER)
def model_ready(request: Request, model: str, version: str | None = None) -> Any:
    """Answer 200 if a model can be asked; raises NotFound."""
    _inference(request).releases.find(model, version)
    return {"name": model, "ready": True}


@router.post("/models/{model}/infer", dependencies=_CALLER)
@router.post("/models/{model}/versions/{version}/infer", dependencies=_CALLER)
async def infer(request: Request, model: str, version: str | None = None) -> Response:
    """Answer tensors with a model; docs/INFERENCE.md describes body and answer."""
    hub_of(request).limits.admit_caller(request.state.person.token)
    inference, headers = _inference(request), request.headers
    with as_refusals():
        length = headers.get(JSON_LENGTH)
        json_bytes = None if length is None else number(JSON_LENGTH, length)
        with inference.budget.taken(_most_bytes(request)):
            raw = await raw_body(request, LIMITS.body_bytes)
            body = TensorBody(raw, headers.get("Content-Encoding"), json_bytes)
            answer = await inference.infer(model, version, body)
    request.app.state.metrics.inferred(model, "caller", answer.rows)
    if answer.json_bytes is None:
        made = HttpResponse(200, answer.body, JSON)
    else:
        size = ("Inference-Header-Content-Length", str(answer.json_bytes))
        made = HttpResponse(200, answer.body, BINARY, (size,))
    made = await here_or_apart(
        len(answer.body) <= QUICK_BYTES, lambda: made.compressed(headers.get("Accept-Encoding"))
    )
    return Response(made.body, made.status, dict(made.headers), made.media_type)


def _most_bytes(request: Request) -> int:
    """Return the bytes that a request may come to hold."""
    said = request.headers.get("Content-Length", "")
    size = int(said) if said.isdecimal() and len(said) < 18 else LIMITS.body_bytes
    if "Content-Encoding" in request.headers:
        size *= EXPANSION
    return min(size, LIMITS.body_bytes)
