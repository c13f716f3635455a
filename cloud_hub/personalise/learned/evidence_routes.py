"""What devices said of a prior, for administrators."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse

from cloud_hub.api.auth import Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document
from cloud_hub.errors import NotFound
from cloud_hub.personalise.learned.evidence_page import to_html
from cloud_hub.personalise.learned.learning import PersonalEvidence

router = HubRouter(prefix="/v1/models/{model}/personalise/evidence")


@router.get("")
def evidence(request: Request, person: Viewer, model: KnownModel) -> Document:
    """Sums over units of the prior that serves: whether it helps, and how sure that is."""
    return as_document(_evidence(request, model))


@router.get(".html")
def evidence_page(request: Request, person: Viewer, model: KnownModel) -> HTMLResponse:
    """The same as one page."""
    return HTMLResponse(to_html(_evidence(request, model)))


def _evidence(request: Request, model: str) -> PersonalEvidence:
    found = hub_of(request).learning.evidence(model)
    if found is None:
        raise NotFound(
            f"{model}: no personal prior serves; apply a policy with personalise, and fit one: "
            "edge-hub personalise fit"
        )
    return found
