"""Policies over HTTP; bodies are the YAML file itself."""

from __future__ import annotations

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Publishing, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import raw_body
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document
from cloud_hub.policy.schema.parse import as_yaml, parse_policy
from cloud_hub.text.yaml import text_of

router = HubRouter(prefix="/v1")
POLICY_BYTES = 1 << 20


@router.get("/models/{model}/policy")
def show(request: Request, person: Viewer, model: KnownModel) -> dict[str, str]:
    """The file in force, and the whole policy with its defaults."""
    text = hub_of(request).policies.text(model)
    return {"text": text, "whole": as_yaml(parse_policy(text))}


@router.post("/models/{model}/policy/plan")
async def plan(request: Request, person: Publishing, model: str, check: bool = True) -> Document:
    """Changes that the policy in the body would make; ``check`` tries its training here."""
    text = await _text(request)
    planned = await run_in_threadpool(hub_of(request).policies.plan, model, text, check=check)
    return as_document(planned)


@router.put("/models/{model}/policy")
async def apply(
    request: Request,
    person: Publishing,
    model: str,
    expected: str | None = None,
    override: str | None = None,
) -> Document:
    """Put the policy in the body in force."""
    text = await _text(request)
    by = request.state.person
    await run_in_threadpool(hub_of(request).approvals.check_policy, model, text, by)
    applied = await run_in_threadpool(
        hub_of(request).policies.apply,
        *(model, text),
        actor=person,
        expected=expected,
        override=override,
    )
    return as_document(applied)


async def _text(request: Request) -> str:
    return text_of(await raw_body(request, POLICY_BYTES), "policy")
