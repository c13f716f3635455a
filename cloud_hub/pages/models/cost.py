"""What a model costs, by day, run and experiment, and what packs and the cascade save."""

from __future__ import annotations

import time
from typing import Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.pages.models.home import render
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import page_router

router = page_router()
DAYS: Final = 30


@router.get("/models/{model}/cost")
def cost(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show what a model cost in the last :data:`DAYS` days."""
    report = hub_of(request).costs.report(model, time.time() - DAYS * 86_400)
    tables = (
        ("By day", "Day", list(report.days.items())[::-1]),
        ("By version", "Version", list(report.versions.items())[::-1]),
        ("By run", "Run", list(report.runs.items())[::-1]),
        ("By batch", "Generation", list(report.batches.items())[::-1]),
        ("By experiment", "Experiment", list(report.experiments.items())[::-1]),
    )
    shown = [(title, word, rows[:100]) for title, word, rows in tables if rows]
    return render(
        request, user, "cost.html", model=model, tab="cost", title="Cost", c=report, days=DAYS,
        tables=shown,
    )  # fmt: skip
