"""The pipeline's token: for machines that train and publish, and decide nothing.

Who holds it may upload content, datasets to train on and the catalogue, signed versions and states,
ask for runs and read how they went. It changes no plan, policy, device, experiment or key, passes
over no gate, and chooses no holdout: that is what the gate judges by.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request

from cloud_hub.api.auth import admin, bearer, hub_of
from cloud_hub.api.token_files import PIPELINE_FILE, is_token
from cloud_hub.errors import Forbidden

PIPELINE: Final = "pipeline"


def publisher(request: Request) -> str:
    """Return ``pipeline``, or the name of the administrator who asks; raises Forbidden."""
    if is_token(hub_of(request).settings.data / PIPELINE_FILE, bearer(request)):
        return PIPELINE
    return admin(request)


def for_administrators(who: str, what: str) -> None:
    """Raise Forbidden if it is a pipeline that asks.

    Args:
        who: name of who asks.
        what: name of the thing that only administrators may do.
    """
    if who == PIPELINE:
        raise Forbidden(f"{what}: is for administrators, and this is the pipeline's token")


Publisher = Annotated[str, Depends(publisher)]
"""In a route's signature: pipelines and administrators; the argument is who asks."""
