"""``/healthz``, ``/readyz`` and ``/metrics``: for load balancers, supervisors and Prometheus.

Strangers learn whether the hub is up and ready, and nothing else: reasons and metrics are for
whoever shows the token in ``metrics.token`` of the data folder, or who is one of the
hub's people, with rights on all models.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Query, Request, Response

from cloud_hub.api.auth import PUBLIC, current_person, hub_of, optional_bearer
from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.api.router import HubRouter
from cloud_hub.api.token_files import METRICS_FILE, is_token
from cloud_hub.errors import Unauthenticated
from cloud_hub.observability.figures import figures_of
from cloud_hub.observability.metrics import CONTENT_TYPE, HubMetrics

router = HubRouter(include_in_schema=False)

Excluded = Annotated[list[str], Query(max_length=20)]
"""Names of checks, several times."""


@router.get("/healthz", dependencies=PUBLIC)
async def healthz() -> dict[str, bool]:
    """Answer that the process lives; a supervisor restarts one that does not."""
    return {"ok": True}


@router.get("/readyz", dependencies=PUBLIC)
def readyz(
    request: Request,
    exclude: Excluded = [],  # noqa: B006 (FastAPI copies it)
) -> Response:
    """Answer 200 if all checks pass, else 503; with the checks, for whoever may read them.

    Args:
        request: leads to the hub.
        exclude: checks that do not count here.
    """
    checks = hub_of(request).readiness.checks()
    ready = all(check.state != "fail" for check in checks if check.name not in exclude)
    content: dict[str, Any] = {"ok": ready}
    if _may_read(request, optional_bearer(request)):
        content["checks"] = [asdict(check) for check in checks]
    headers = {} if ready else {"Retry-After": "5"}
    return SafeJSONResponse(content, 200 if ready else 503, headers=headers)


@router.get("/metrics", dependencies=PUBLIC)
def metrics(request: Request) -> Response:
    """Answer with what is counted; raises Unauthenticated."""
    if not _may_read(request, optional_bearer(request)):
        raise Unauthenticated("expected the token in the file metrics.token of the hub's data")
    hub = hub_of(request)
    counted: HubMetrics = request.app.state.metrics
    figures = figures_of(hub, hub.readiness.checks(), time.time())
    return Response(counted.text(figures), media_type=CONTENT_TYPE)


def _may_read(request: Request, token: str | None) -> bool:
    hub = hub_of(request)
    reader = token is not None and is_token(hub.settings.data / METRICS_FILE, token)
    person = current_person(request)
    # What is counted names every model.
    return reader or (person is not None and person.models is None)
