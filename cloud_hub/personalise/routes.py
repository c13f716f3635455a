"""Personalisation of models, for administrators."""

from __future__ import annotations

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Operator, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel, MaybeVersion
from cloud_hub.api.request_body import body_file
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document
from cloud_hub.errors import Invalid
from cloud_hub.personalise.fit_request import FitRequest
from edge_sdk.contract.limits import MODEL_BYTES

router = HubRouter(prefix="/v1/models/{model}/personalise")


@router.get("")
def status(request: Request, person: Viewer, model: KnownModel) -> Document:
    """How a model is personalised: what the policy and the plan say, and its priors."""
    return as_document(hub_of(request).personalise.status(model))


@router.post("/fit")
async def fit(
    request: Request,
    person: Operator,
    model: KnownModel,
    version: MaybeVersion,
    unit: str | None = None,
    label: str = "y",
    source: str = "",
    anew: bool = False,
) -> Document:
    """Fit a prior to labelled rows of many units; answer with its record.

    Args:
        request: its body is CSV, Parquet, or an ``.npz`` with ``X``, ``y`` and the units' names.
        person: who brings them.
        model: name of the line.
        version: of it; by default the one that serves.
        unit: column of the units' names; by default as the policy says.
        label: column of the labels.
        source: where the rows came from, in words.
        anew: with a space of its own, even if units then begin anew.
    """
    hub = hub_of(request)
    policy = await run_in_threadpool(hub.registry.policy, model)
    column = unit or policy.personalise.unit_column
    if column is None:
        raise Invalid(
            "unit: expected the column with the name of each row's unit, got none; name it with "
            "--unit, or in the policy: personalise: {unit_column: …}"
        )
    asked = FitRequest(column, label, source, anew)
    async with body_file(request, MODEL_BYTES, hub.settings.data) as file:
        record = await run_in_threadpool(
            hub.personalise.fit, model, version, file, asked, actor=person
        )
    return as_document(record)


@router.post("/off")
def off(request: Request, person: Operator, model: KnownModel, reason: str = "by hand") -> Document:
    """Serve no correction any more, whatever the policy says."""
    service = hub_of(request).personalise
    return as_document(service.switch(model, on=False, actor=person, reason=reason))


@router.post("/on")
def on(request: Request, person: Operator, model: KnownModel, reason: str = "by hand") -> Document:
    """Do as the policy says again."""
    service = hub_of(request).personalise
    return as_document(service.switch(model, on=True, actor=person, reason=reason))
