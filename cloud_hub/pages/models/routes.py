"""Every page of a model, as one router."""

from __future__ import annotations

from fastapi import APIRouter

from cloud_hub.pages.models import (
    experiment,
    monitoring,
    overview,
    packs,
    rollout,
    runs,
    triggers,
    versions,
)

router = APIRouter(include_in_schema=False)
for part in (overview, versions, rollout, experiment, monitoring, triggers, runs, packs):
    router.include_router(part.router)
