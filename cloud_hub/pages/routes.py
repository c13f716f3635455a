"""Every page, as one router."""

from __future__ import annotations

from cloud_hub.api.router import HubRouter
from cloud_hub.pages import (
    audit,
    device,
    docs,
    enrolment,
    fleet,
    overview,
    people,
    publishing,
    sign_in,
)

router = HubRouter(include_in_schema=False)
for part in (sign_in, overview, fleet, device, audit, enrolment, people, publishing):
    router.routes.extend(part.router.routes)
router.routes.extend(docs.router.routes)
