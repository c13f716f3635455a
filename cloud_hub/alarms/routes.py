"""Alarms over HTTP: the list of all that is wrong, and acknowledging."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from cloud_hub.api.auth import ViewerOfSome, hub_of, may_see, requires
from cloud_hub.api.roles import Role
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_documents

router = HubRouter(prefix="/v1/alarms")


def _models(request: Request) -> tuple[str, ...]:
    """Return the models that the alarm of a request is about."""
    return hub_of(request).alarms.models_of(request.query_params.get("key", ""))


OperatorOfAlarm = Annotated[str, Depends(requires(Role.OPERATOR, of=_models))]


@router.get("")
def alarms(
    request: Request,
    person: ViewerOfSome,
    model: str | None = None,
    past: Annotated[int, Query(ge=0, le=1_000)] = 0,
) -> list[Document]:
    """Return open alarms of the hub, its fleet and its models, oldest first.

    Args:
        request: leads to the hub.
        person: who asks; of rights on some models only, they see those.
        model: that they concern; default all.
        past: closed ones besides, the newest so many.
    """
    found = hub_of(request).alarms.all(model, past=past)
    return as_documents([alarm for alarm in found if may_see(request, alarm.model)])


@router.post("/acknowledge", status_code=204)
def acknowledge(
    request: Request, person: OperatorOfAlarm, key: Annotated[str, Query(max_length=300)]
) -> Response:
    """Say that somebody has seen an alarm."""
    hub_of(request).alarms.acknowledge(key, actor=person)
    return Response(status_code=204)
