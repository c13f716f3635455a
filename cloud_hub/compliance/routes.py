"""Archives of evidence, by HTTP."""

from __future__ import annotations

from fastapi import Request, Response

from cloud_hub.api.auth import Operator, hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.api.router import HubRouter
from cloud_hub.compliance.service import compliance_archive

router = HubRouter(prefix="/v1")


@router.get("/models/{model}/versions/{version}/compliance")
def compliance(
    request: Request, person: Operator, model: KnownModel, version: KnownVersion
) -> Response:
    """Return all evidence of a version as one signed archive.

    Args:
        request: leads to the hub.
        person: who asks; the audit notes it.
        model: name of the line.
        version: of it.
    """
    raw = compliance_archive(hub_of(request), model, version, actor=person)
    name = f"{model}-{version}-compliance.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(raw, media_type="application/zip", headers=headers)
