"""Rights on what has a name or number of its own: its model is looked up.

So whoever has rights on some models reaches what belongs to those, and nothing else is there for
them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from fastapi import Depends, Request

from cloud_hub.api.auth import hub_of, requires
from cloud_hub.api.roles import Role
from cloud_hub.errors import NotFound


def of_experiment(request: Request) -> Collection[str]:
    """Return the model of the experiment that a path names; raises NotFound."""
    return (hub_of(request).experiments.get(request.path_params["id_"]).model,)


def of_run(request: Request) -> Collection[str]:
    """Return the models of the runs that a path names; raises NotFound."""
    runs, names = hub_of(request).runs, request.path_params
    numbers = [_number(names[name]) for name in ("run", "other") if name in names]
    return [runs.get(number).model for number in numbers]


def of_generation(request: Request) -> Collection[str]:
    """Return the model of the batch predictions that a path names; raises NotFound."""
    return (hub_of(request).batches.get(_number(request.path_params["id_"])).model,)


def of_device(request: Request) -> Collection[str]:
    """Return the models of the device that a path names; raises NotFound.

    Who stops a device stops it for all of its models, so that takes a right on each of them.
    """
    return hub_of(request).fleet.identities.models_of(request.path_params["device"])


def of_enrolment_token(request: Request) -> Collection[str]:
    """Return the models that the enrolment token of a path is for; raises NotFound."""
    token = request.path_params["token"]
    for record in hub_of(request).fleet.tokens.list(usable=False):
        if record.id == token:
            return record.models
    raise NotFound(f"token {token:.40}: no such token; see edge-hub tokens list")


def of_approval(request: Request) -> Collection[str]:
    """Return the model of the request that a path names; raises NotFound."""
    return (hub_of(request).approvals.get(_number(request.path_params["id_"])).model,)


def _number(text: str) -> int:
    # The path is checked after who asks: what is no number is no run either.
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) < 2**31):
        raise NotFound(f"{text:.40}: expected a number")
    return int(text)


ExperimentViewer = Annotated[str, Depends(requires(Role.VIEWER, of=of_experiment))]
ExperimentOperator = Annotated[str, Depends(requires(Role.OPERATOR, of=of_experiment))]
RunReader = Annotated[str, Depends(requires(Role.VIEWER, of=of_run, pipeline=True))]
RunOperator = Annotated[str, Depends(requires(Role.OPERATOR, of=of_run))]
RunPublishing = Annotated[str, Depends(requires(Role.PUBLISHER, of=of_run))]
GenerationReader = Annotated[str, Depends(requires(Role.VIEWER, of=of_generation, pipeline=True))]
GenerationOperator = Annotated[str, Depends(requires(Role.OPERATOR, of=of_generation))]
DeviceViewer = Annotated[str, Depends(requires(Role.VIEWER, of=of_device))]
DeviceOperator = Annotated[str, Depends(requires(Role.OPERATOR, of=of_device))]
DeviceAdmin = Annotated[str, Depends(requires(Role.ADMINISTRATOR, of=of_device))]
ApprovalOperator = Annotated[str, Depends(requires(Role.OPERATOR, of=of_approval))]
TokenOperator = Annotated[str, Depends(requires(Role.OPERATOR, of=of_enrolment_token))]
