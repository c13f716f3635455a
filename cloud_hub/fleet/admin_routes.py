"""Requests of administrators about the fleet: tokens, registered serials, devices."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Operator, ViewerOfSome, hub_of, may_see
from cloud_hub.api.dependencies import unknown
from cloud_hub.api.request_body import Limit, Moment, raw_body
from cloud_hub.api.rights import DeviceAdmin, DeviceOperator, DeviceViewer, TokenOperator
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import Invalid
from cloud_hub.flags.service import as_documents
from cloud_hub.fleet.asks import DeviceAsk
from cloud_hub.fleet.health import health_of, state_of
from cloud_hub.fleet.search import LONGEST, parse_search
from cloud_hub.fleet.serials import Registration, SerialEntry
from cloud_hub.fleet.tokens import TokenTerms
from edge_sdk.contract.fleet import Ask

router = HubRouter(prefix="/v1")

SERIAL_BYTES: Final = 8 << 20
Models = Annotated[list[str], Query(min_length=1)]
"""Names of models, several times."""

Attributes = Annotated[list[str], Query()]
"""``NAME=VALUE``, several times."""

Search = Annotated[str, Query(max_length=LONGEST)]
"""Terms that devices meet, as :mod:`cloud_hub.fleet.search` reads them."""

Reason = Annotated[str, Query(min_length=1, max_length=500)]


@router.post("/enrolment-tokens")
def new_tokens(
    request: Request,
    person: Operator,
    model: Models,
    uses: int = 1,
    seconds: float = 86_400.0,
    count: int = 1,
    attribute: Attributes = [],  # noqa: B006 (FastAPI copies it)
    approve: bool = False,
) -> dict[str, Any]:
    """Make tokens for new devices; with a ``warning`` if there is no such model yet.

    Args:
        request: leads to the hub.
        person: who asks.
        model: that the devices may serve; several times for several.
        uses: number of devices that may join with each.
        seconds: from now until they expire.
        count: number of tokens.
        attribute: that the devices cannot choose otherwise.
        approve: somebody has to approve each device.
    """
    hub = hub_of(request)
    terms = TokenTerms(tuple(model), uses, seconds, _attributes(attribute), approve)
    made = hub.fleet.tokens.make(terms, actor=person, count=count)
    answer: dict[str, Any] = {
        "token": made[0][1], "tokens": [{"id": id_, "token": token} for id_, token in made],
    }  # fmt: skip
    return answer | _warning(request, model)


@router.get("/enrolment-tokens")
def tokens(
    request: Request, person: ViewerOfSome, model: str | None = None, usable: bool = True
) -> list[Any]:
    """Return tokens, without the secrets: those with which devices could join, or all."""
    records = hub_of(request).fleet.tokens.list(model, usable=usable)
    return [asdict(r) for r in records if all(may_see(request, name) for name in r.models)]


@router.post("/enrolment-tokens/{token}/revoke")
def revoke_token(request: Request, person: TokenOperator, token: str) -> Any:
    """Let no device join any more with the token of this id."""
    return asdict(hub_of(request).fleet.tokens.revoke(token, actor=person))


@router.post("/serials")
async def register(
    request: Request,
    person: Operator,
    model: Models,
    attribute: Attributes = [],  # noqa: B006 (FastAPI copies it)
) -> dict[str, Any]:
    """Register devices by serial number; answer with the secrets that were made for them.

    Args:
        request: its body is a list of objects with ``serial``, and perhaps ``public_key`` or
            ``secret``.
        person: who vouches for them.
        model: that they may serve; several times for several.
        attribute: that they cannot choose otherwise.
    """
    entries = _entries(await raw_body(request, SERIAL_BYTES))
    registration = Registration(tuple(model), entries, _attributes(attribute))
    serials = hub_of(request).fleet.serials
    made = await run_in_threadpool(serials.register, registration, actor=person)
    answer = {"models": model, "devices": [asdict(entry) for entry in made]}
    return answer | await run_in_threadpool(_warning, request, model)


@router.get("/devices")
def devices(
    request: Request,
    person: ViewerOfSome,
    model: str | None = None,
    since: Moment | None = None,
    limit: Limit | None = None,
    search: Search = "",
) -> list[Any]:
    """Return devices with their health and flags, in the order in which they joined.

    Args:
        request: leads to the hub.
        person: who asks.
        model: that the devices serve; default all.
        since: when they were last heard of, or later, Unix seconds.
        limit: at most so many, those that were heard of last; of these, those that are found.
        search: such as ``region=eu health:lost``; default all.
    """
    wanted = parse_search(search)
    hub, now = hub_of(request), time.time()
    plans = {name: hub.plans.current(name) for name in hub.registry.models()}
    flags = hub.flags.by_device(model)
    return [
        {
            **asdict(record),
            "health": health_of(record, plans.get(record.model), now),
            "flags": as_documents(flags.get((record.device, record.model), ())),
        }
        for record in hub.fleet.devices(model, since=since, limit=limit)
        if may_see(request, record.model)
        and wanted.finds(record, state_of(record, plans.get(record.model), now))
    ]


@router.get("/device-groups")
def groups(request: Request, person: ViewerOfSome) -> list[Any]:
    """Return the groups of devices: searches with a name."""
    return [asdict(group) for group in hub_of(request).fleet.groups.list()]


@router.put("/device-groups/{group}")
def save_group(request: Request, person: Operator, group: str, search: Search) -> Any:
    """Save a search as a group, in place of one of that name."""
    return asdict(hub_of(request).fleet.groups.save(group, search, actor=person))


@router.delete("/device-groups/{group}", status_code=204)
def remove_group(request: Request, person: Operator, group: str) -> None:
    """Remove a group; its devices stay."""
    hub_of(request).fleet.groups.remove(group, actor=person)


@router.post("/devices/{device}/approve")
def approve(request: Request, person: DeviceOperator, device: str) -> Any:
    """Let a device take part that waits, or that was stopped."""
    return asdict(hub_of(request).fleet.identities.approve(device, actor=person))


@router.post("/devices/{device}/revoke")
def revoke(request: Request, person: DeviceOperator, device: str, reason: Reason) -> Any:
    """Stop a device for good, such as a stolen one."""
    return asdict(hub_of(request).fleet.identities.revoke(device, reason=reason, actor=person))


@router.post("/devices/{device}/forget", status_code=204)
def forget(request: Request, person: DeviceAdmin, device: str, reason: Reason) -> None:
    """Delete a device and everything that it alone sent."""
    hub_of(request).fleet.forget(device, reason=reason, actor=person)


@router.post("/devices/{device}/asks")
def ask_device(request: Request, person: DeviceOperator, device: str, kind: Ask) -> Any:
    """Ask a device for its newest log lines or for a sync; it hears of it when it next polls.

    Args:
        request: leads to the hub.
        person: who asks.
        device: that is asked.
        kind: ``logs`` or ``sync``.
    """
    return _asked(hub_of(request).fleet.asks.ask(device, kind, actor=person))


@router.get("/devices/{device}/asks")
def asks_of_device(request: Request, person: DeviceViewer, device: str) -> list[Any]:
    """Return what a device was asked of late, newest first, and what it answered."""
    return [_asked(each) for each in hub_of(request).fleet.asks.of(device)]


def _asked(ask: DeviceAsk) -> dict[str, Any]:
    return {**asdict(ask), "state": ask.state(time.time())}


def _warning(request: Request, wanted: list[str]) -> dict[str, str]:
    models = hub_of(request).registry.models()
    missing = next((model for model in wanted if model not in models), None)
    if missing is None:
        return {}
    return {"warning": f"{unknown(missing, models)}; devices that join wait for its first version"}


def _attributes(pairs: list[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs; raises Invalid."""
    split = [pair.partition("=") for pair in pairs]
    wrong = next((pair for pair, (name, equals, _) in zip(pairs, split, strict=True)
                  if not name or not equals), None)  # fmt: skip
    if wrong is not None:
        raise Invalid(f"attribute: expected NAME=VALUE, got {wrong:.80}")
    return {name: value for name, _, value in split}


def _entries(raw: bytes) -> list[SerialEntry]:
    expected = "serials: expected a JSON list of objects with serial, public_key, secret"
    try:
        listed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid(expected) from error
    if not isinstance(listed, list):
        raise Invalid(expected)
    names = set(SerialEntry.__dataclass_fields__)
    for entry in listed:
        texts = isinstance(entry, dict) and all(isinstance(v, str | None) for v in entry.values())
        if not texts or not {"serial"} <= set(entry) <= names or entry["serial"] is None:
            raise Invalid(f"{expected}, got {entry!r:.80}")
    return [SerialEntry(**entry) for entry in listed]
