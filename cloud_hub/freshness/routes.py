"""Route of the rows that devices shared, for those who analyse them elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Moment
from cloud_hub.errors import NotFound
from edge_sdk.model.release import save_arrays

router = APIRouter(prefix="/v1")


@router.get("/models/{model}/samples")
def samples(request: Request, admin: Admin, model: KnownModel, since: Moment = 0.0) -> Response:
    """An ``.npz`` of ``X``, ``y`` and ``t`` (when each was predicted, Unix seconds)."""
    telemetry = hub_of(request).telemetry
    dataset = telemetry.samples(model, since=since)
    if dataset is None or dataset.labels is None:
        raise NotFound(f"{model}: no rows were shared; see sharing in its policy")
    times = telemetry.sample_times(model, since=since)
    raw = save_arrays({"X": dataset.rows, "y": dataset.labels, "t": times})
    return Response(raw, media_type="application/octet-stream")
