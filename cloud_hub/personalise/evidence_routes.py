"""What devices said of a prior, for administrators."""

from __future__ import annotations

from fastapi import APIRouter, Request

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.database.documents import Document, as_document
from cloud_hub.errors import NotFound

router = APIRouter(prefix="/v1/models/{model}/personalise/evidence")


@router.get("")
def evidence(request: Request, admin: Admin, model: KnownModel) -> Document:
    """Sums over units of the prior that serves: whether it helps, and how sure that is."""
    found = hub_of(request).learning.evidence(model)
    if found is None:
        raise NotFound(
            f"{model}: no personal prior serves; apply a policy with personalise, and fit one: "
            "edge-hub personalise fit"
        )
    return as_document(found)
