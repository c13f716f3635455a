"""Every page, as one router."""

from __future__ import annotations

from fastapi import APIRouter

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

router = APIRouter(include_in_schema=False)
for part in (sign_in, overview, fleet, device, audit, enrolment, people, publishing):
    router.include_router(part.router)
router.include_router(docs.router)
