"""The pipeline's token: for machines that train and publish, and decide nothing.

Who holds it may upload content, datasets to train on and the catalogue, signed versions and states,
ask for runs and read how they went. It changes no plan, policy, device, experiment or key, passes
over no gate, and chooses no holdout: that is what the gate judges by.

Routes that it may ask are for people, too, each with the role that it needs.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from cloud_hub.api.auth import PIPELINE, requires
from cloud_hub.api.roles import Role
from cloud_hub.errors import Forbidden

publisher = requires(Role.PUBLISHER, pipeline=True)


def for_administrators(who: str, what: str) -> None:
    """Raise Forbidden if it is a pipeline that asks.

    Args:
        who: name of who asks.
        what: name of the thing that people alone may do.
    """
    if who == PIPELINE:
        raise Forbidden(f"{what}: is for people who may publish, and this is the pipeline's token")


Publisher = Annotated[str, Depends(publisher)]
"""In a route's signature: pipelines, and people who may publish; the argument is who asks."""

AnyPublisher = Annotated[str, Depends(requires(Role.PUBLISHER, pipeline=True, filtered=True))]
"""The same for what is of no model yet, such as content that is uploaded before it is signed."""

RunStarter = Annotated[str, Depends(requires(Role.OPERATOR, pipeline=True))]
"""In a route's signature: pipelines, and people who may roll out."""

Reader = Annotated[str, Depends(requires(Role.VIEWER, pipeline=True))]
"""In a route's signature: pipelines, and people who may read."""

ReaderOfSome = Annotated[str, Depends(requires(Role.VIEWER, pipeline=True, filtered=True))]
"""The same where :func:`~cloud_hub.api.auth.may_see` says what."""
