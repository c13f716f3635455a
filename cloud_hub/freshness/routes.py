"""Route of the rows that devices shared, for those who analyse them elsewhere."""

from __future__ import annotations

from fastapi import Request, Response

from cloud_hub.api.auth import Publishing, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Moment
from cloud_hub.api.router import HubRouter
from cloud_hub.data.writing import Format, written
from cloud_hub.errors import NotFound

router = HubRouter(prefix="/v1")


@router.get("/models/{model}/samples")
def samples(
    request: Request,
    person: Publishing,
    model: KnownModel,
    since: Moment = 0.0,
    format: Format = "npz",  # noqa: A002 (the parameter's name in the URL)
) -> Response:
    """Rows with labels and times: an ``.npz`` of ``X``, ``y`` and ``t``, Parquet or CSV.

    Times are when each row was predicted; in Parquet and CSV devices are named too.
    """
    telemetry = hub_of(request).telemetry
    dataset = telemetry.samples(model, since=since)
    if dataset is None:
        raise NotFound(f"{model}: no rows were shared; see sharing in its policy")
    return Response(written(dataset, format), media_type="application/octet-stream")
