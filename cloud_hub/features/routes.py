"""Features, for administrators: sets are declared, filled, joined, exported and compared; tables
are given to a model by hand.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from cloud_hub.api.auth import Publishing, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Moment, body_chunks, message, raw_body
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import Conflict, HubFault
from cloud_hub.features.point_in_time import JoinedRows
from cloud_hub.features.row_files import read_rows, write_parquet
from cloud_hub.features.table import FeatureTable
from cloud_hub.storage.artifact_store import file_chunks
from cloud_hub.text.yaml import LIMIT, text_of
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.limits import LATEST, MODEL_BYTES

router = HubRouter(prefix="/v1")

ROWS_BYTES: Final = 4 << 30
COVERAGE: Final = "X-Feature-Coverage"
"""Header of a join's answer: for each set ``NAME@N=ROWS/DEFAULTED/STALE``."""


@router.get("/features")
def sets(request: Request, person: Viewer) -> Any:
    """Return every set, without its files.

    Args:
        request: leads to the hub.
        person: who asks.
    """
    service = hub_of(request).feature_sets
    names = [each.declared.name for each in service.history.sets()]
    return [{**asdict(service.status(name)), "segments": []} for name in names]


@router.put("/features")
async def declare(request: Request, person: Publishing) -> Any:
    """Declare a set, or change one.

    Args:
        request: its body is YAML.
        person: who declares it.
    """
    text = text_of(await raw_body(request, 4 * LIMIT), "features.yaml")
    apply = hub_of(request).feature_sets.apply
    stored = await run_in_threadpool(lambda: apply(text, actor=person))
    warnings = []
    if stored.declared.session is not None:
        misfits = hub_of(request).feature_sets.sessions.misfits
        warnings = await run_in_threadpool(misfits, stored.declared, stored.declared.models)
    return {"ref": stored.ref, "declared": asdict(stored.declared), "warnings": warnings}


@router.get("/features/{name}")
def status(request: Request, person: Viewer, name: str) -> Any:
    """Return a set: what was declared, its files, who uses it.

    Args:
        request: leads to the hub.
        person: who asks.
        name: of the set.
    """
    return asdict(hub_of(request).feature_sets.status(name))


@router.get("/features/{name}/sessions")
def sessions(request: Request, person: Viewer, name: str) -> Any:
    """Return a set of sessions as devices get it.

    Args:
        request: leads to the hub.
        person: who asks.
        name: of the set.
    """
    return to_plain(hub_of(request).feature_sets.sessions_named(name))


@router.post("/features/join")
async def join(
    request: Request,
    person: Publishing,
    as_of: str,
    sets: Annotated[list[str] | None, Query()] = None,
    ages: bool = False,
) -> StreamingResponse:
    """Answer with labels and what serving would have had at their moments, as Parquet.

    Args:
        request: its body is the labels: Parquet or CSV.
        person: who asks.
        as_of: column of moments.
        sets: names of sets; default all whose entity is a column.
        ages: also how old the values were.
    """
    service = hub_of(request).feature_sets

    def joined(file: Path, to: Path) -> JoinedRows:
        done = service.join(
            read_rows(file, "labels", service.entities()), as_of, sets or (), ages=ages
        )
        write_parquet(done.table, to)
        return done

    async with _body(request) as file:
        to = file.with_name("joined")
        done = await run_in_threadpool(joined, file, to)
        said = (f"{c.ref}={c.rows}/{c.defaulted}/{c.stale}" for c in done.coverage)
        return _file_response(to, {COVERAGE: " ".join(said)})


@router.post("/features/{name}/rows")
async def take(
    request: Request,
    person: Publishing,
    name: str,
    source: str = "import",
    at: Moment | None = None,
) -> Any:
    """Keep rows of a set, and give the newest values to devices.

    Args:
        request: its body is the rows: Parquet or CSV.
        person: who brings them.
        name: of the set.
        source: where they are from.
        at: moment of rows without a column of moments, Unix seconds.
    """
    service = hub_of(request).feature_sets
    declared = (await run_in_threadpool(service.named, name)).declared
    async with _body(request) as file:
        rows = await run_in_threadpool(read_rows, file, source, declared.texts)
        took = await run_in_threadpool(
            lambda: service.take(name, rows, actor=person, source=source, at=at)
        )
    return asdict(took)


@router.post("/features/{name}/compute")
def compute(request: Request, person: Publishing, name: str, as_of: Moment | None = None) -> Any:
    """Ask the source of a set for its rows.

    Args:
        request: leads to the hub.
        person: who asks.
        name: of the set.
        as_of: the moment for which they are made, Unix seconds; default now.
    """
    return asdict(hub_of(request).feature_sets.compute(name, actor=person, as_of=as_of))


@router.get("/features/{name}/rows")
def export(request: Request, person: Publishing, name: str) -> StreamingResponse:
    """Answer with all rows of a set as Parquet, with the columns that it declares.

    Args:
        request: leads to the hub.
        person: who asks.
        name: of the set.
    """
    with tempfile.TemporaryDirectory(prefix="edge-hub-") as folder:
        file = Path(folder) / "rows"
        hub_of(request).feature_sets.export(name, file)
        return _file_response(file, {})


@router.get("/models/{model}/features")
def model_status(request: Request, person: Viewer, model: KnownModel) -> Any:
    """Return the features of a model, and the file of each release.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
    """
    hub = hub_of(request)
    uses = [asdict(use) for use in hub.feature_sets.history.uses(model=model)]
    sets = [each.ref for each in hub.feature_sets.of_model(model)]
    return {**asdict(hub.features.status(model)), "sets": sets, "uses": uses}


@router.post("/models/{model}/features")
async def put_table(
    request: Request,
    person: Publishing,
    model: KnownModel,
    expires: Annotated[int | None, Query(ge=0, le=LATEST)] = None,
    replace: bool = False,
) -> Any:
    """Store features, and let devices have them with the next plan.

    Args:
        request: its body is a table as JSON (``entities``, ``columns``, ``defaults``).
        person: who brings them.
        model: name of the line.
        expires: Unix seconds after which devices stop using them.
        replace: forget all other entities.
    """
    table = await message(request, FeatureTable, MODEL_BYTES)
    sets = await run_in_threadpool(hub_of(request).feature_sets.of_model, model)
    if sets:
        names = ", ".join(each.declared.name for each in sets)
        raise Conflict(f"{model}: gets its features from {names}; import rows of that set")
    stored = await run_in_threadpool(
        hub_of(request).features.put,
        *(model, table),
        actor=person,
        expires=expires,
        replace_all=replace,
    )
    return asdict(stored)


@router.post("/models/{model}/features/skew")
def skew(request: Request, person: Viewer, model: KnownModel) -> Any:
    """Compare what devices have with what trainings see, now.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
    """
    report = hub_of(request).skew.measure(model)
    rows = [{**asdict(each), "alarming": each.alarming} for each in report.features]
    return {**asdict(report), "features": rows}


@asynccontextmanager
async def _body(request: Request) -> AsyncIterator[Path]:
    """Give the body as a file in a folder of its own, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="edge-hub-") as folder:
        path = Path(folder) / "body"
        try:
            with path.open("wb") as file:
                async for chunk in body_chunks(request, ROWS_BYTES):
                    await run_in_threadpool(file.write, chunk)
        except OSError as error:
            raise HubFault(f"body: cannot be stored; {error.strerror}") from error
        yield path


def _file_response(file: Path, headers: dict[str, str]) -> StreamingResponse:
    """Answer with a file that goes with its folder: it is open, so its bytes stay until they are
    sent, or nobody is there any more to whom.
    """
    opened = file.open("rb")
    headers["Content-Length"] = str(file.stat().st_size)
    kind = "application/vnd.apache.parquet"
    return StreamingResponse(file_chunks(opened, None), 200, headers, kind)
