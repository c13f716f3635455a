"""``edge-hub enrol-token``, ``tokens``, ``devices``: who may join the fleet, and who is in it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.operating.device_questions import add_to_devices
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, local_time, pairs, plural, warn
from cloud_hub.cli.shared.registration import SET_UP, WATCH, command, group

COLUMNS: Final = ("serial", "public_key", "secret")
"""Columns of a file of serial numbers; only the first has to be there."""


def _pair(text: str) -> str:
    """Accept ``NAME=VALUE``."""
    name, equals, _ = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"expected NAME=VALUE, got {text[:40]!r}")
    return text


def _device(text: str) -> str:
    """Accept the name of a device."""
    return types.name(text)


Uses = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 10_000_000),
        metavar="NUMBER",
        help="Devices that may join with it; more than 1 make one voter of all of them.",
    ),
]
Hours = Annotated[
    float,
    typer.Option(
        parser=types.amount(types.LONGEST_HOURS), metavar="HOURS", help="How long it is valid."
    ),
]
Count = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 10_000),
        metavar="NUMBER",
        help="Tokens to make, one a line: each device its own.",
    ),
]
AttributeOption = Annotated[
    list[str],
    typer.Option(
        "--attribute",
        parser=_pair,
        metavar="NAME=VALUE",
        help="Fixed for its devices, such as region=eu; may be given several times.",
    ),
]
Approve = Annotated[
    bool, typer.Option("--approve", help="Devices wait until edge-hub devices approve.")
]
All = Annotated[bool, typer.Option("--all", help="Also those that are used up, expired, revoked.")]
TokenId = Annotated[str, typer.Argument(parser=_device, metavar="ID", help="As tokens list says.")]
Device = Annotated[
    str, typer.Argument(parser=_device, metavar="DEVICE", help="Name, as devices list says.")
]
Several = Annotated[
    list[str],
    typer.Argument(parser=_device, metavar="DEVICE…", help="Names, as devices list says."),
]
Standing = Annotated[
    str | None,
    typer.Option(
        parser=types.name, metavar="WORD", help="Only active, pending, revoked or cloned ones."
    ),
]
FleetTerms = Annotated[
    str | None,
    typer.Option(
        metavar="SEARCH", help="Only those that meet all of it, such as 'region=eu health:lost'."
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option("--group", metavar="NAME", help="Only those of a group, as groups list says."),
]
TokenModels = Annotated[
    list[str],
    typer.Argument(parser=types.name, metavar="MODEL…", help="Models that they may serve."),
]
ModelOptions = Annotated[
    list[str],
    typer.Option(
        "--model",
        parser=types.name,
        metavar="MODEL",
        help="That they may serve; may be given several times.",
    ),
]
SerialFile = Annotated[
    Path,
    typer.Argument(
        metavar="CSV", help="Columns serial and, if there is one, public_key or secret."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``enrol-token``, ``tokens`` and ``devices``."""
    token = "edge-hub enrol-token digits --count 100 --hours 48"
    command(app, "enrol-token", panel=SET_UP, example=token)(_enrol_token)
    tokens = group(app, "tokens", "Tokens with which devices join.", panel=SET_UP)
    command(tokens, "list", example="edge-hub tokens list --model digits")(_tokens)
    command(tokens, "revoke", example="edge-hub tokens revoke 1f0c9a2b7d")(_revoke_token)
    devices = group(app, "devices", "The fleet: who is in it, and who is not.", panel=WATCH)
    listed = "edge-hub devices list --model digits --since 1h"
    command(devices, "list", example=listed)(_devices)
    register = "edge-hub devices register SERIALS.csv --model digits"
    command(devices, "register", example=register)(_register)
    command(devices, "approve", example="edge-hub devices approve d-0123456789ab")(_approve)
    revoke = "edge-hub devices revoke d-0123456789ab --reason stolen"
    command(devices, "revoke", example=revoke)(_revoke)
    forget = "edge-hub devices forget d-0123456789ab --reason 'its owner left'"
    command(devices, "forget", example=forget)(_forget)
    add_to_devices(devices)


def _enrol_token(
    hub: HubAddress,
    models: TokenModels,
    uses: Uses = 1,
    hours: Hours = 24.0,
    count: Count = 1,
    attribute: AttributeOption = [],  # noqa: B006 (typer copies it)
    approve: Approve = False,
) -> Result:
    """Make tokens with which devices join; they are shown only now."""
    answer = hub.client().post(
        "enrolment-tokens", model=models, uses=uses, seconds=hours * 3_600, count=count,
        attribute=attribute or None, approve=approve,
    )  # fmt: skip
    if "warning" in answer:
        warn(answer["warning"])
    return Result(answer, lambda a: "\n".join(each["token"] for each in a["tokens"]))


def _tokens(hub: HubAddress, model: types.OnlyModel = None, every: All = False) -> Result:
    """List tokens with which devices could join, without the secrets."""
    tokens = hub.client().get("enrolment-tokens", model=model, usable=not every)
    return Result(tokens, _tokens_table)


def _tokens_table(tokens: list[dict[str, Any]]) -> TextTable:
    columns = ("id", "models", "uses left", "of", "expires", "made by", "terms")
    rows = [
        (
            t["id"], ", ".join(t["models"]), t["uses"], t["devices"], local_time(t["expires_at"]),
            t["made_by"], _terms(t),
        )
        for t in tokens
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no tokens; edge-hub enrol-token MODEL makes some")


def _terms(token: dict[str, Any]) -> str:
    parts = [pairs(token["attributes"]), "needs approval" if token["approve"] else ""]
    parts.append(f"revoked {local_time(token['revoked_at'])}" if token["revoked_at"] else "")
    return "; ".join(part for part in parts if part)


def _revoke_token(hub: HubAddress, id_: TokenId) -> Result:
    """Let no device join with a token any more; those that have joined stay."""
    record = hub.client().post(f"enrolment-tokens/{id_}/revoke")
    return Result(record, lambda r: f"token {r['id']} revoked; devices that joined with it stay")


def _devices(
    hub: HubAddress,
    model: types.OnlyModel = None,
    standing: Standing = None,
    since: types.Since = None,
    limit: types.Limit = None,
    search: FleetTerms = None,
    group_name: GroupOption = None,
) -> Result:
    """List devices and their health, in the order in which they joined."""
    begin, client = types.begin_of(since), hub.client()
    terms = [search] if search else []
    if group_name is not None:
        terms.append(_search_of(client.get("device-groups"), group_name))
    found = " ".join(terms) or None
    devices = client.get("devices", model=model, since=begin, limit=limit, search=found)
    chosen = [d for d in devices if standing in (None, d["standing"])]
    return Result(chosen, _devices_table)


def _search_of(groups: list[dict[str, Any]], name: str) -> str:
    """Return the search of a group; raises NotFound."""
    from cloud_hub.errors import NotFound

    for each in groups:
        if each["name"] == name:
            return str(each["search"])
    known = ", ".join(each["name"] for each in groups) or "none"
    raise NotFound(f"group {name:.60}: no such group; there are: {known}")


def _devices_table(devices: list[dict[str, Any]]) -> View:
    columns = (
        "device", "model", "standing", "health", "serves", "plan", "seen", "attributes, remarks",
    )  # fmt: skip
    rows = [
        (
            device["device"], device["model"], device["standing"], device["health"],
            device["version"], device["plan"] or None, local_time(device["seen_at"]),
            _remarks(device),
        )
        for device in devices
    ]  # fmt: skip
    table = TextTable(columns, rows, empty="no devices; edge-hub enrol-token MODEL lets some join")
    if not devices:
        return table
    health = pairs(Counter(device["health"] for device in devices))
    view: list[str | TextTable] = [table, f"{plural(len(devices), 'device')}: {health}"]
    stopped = Counter(d["standing"] for d in devices if d["standing"] != "active")
    if stopped:
        view.append(f"not active: {pairs(stopped)}")
    if stopped["cloned"]:
        view.append(
            "cloned: two copies of one disk, or a backup that was restored; give each copy a new "
            "identity (edge enrol STATE --again), or approve the device if there is only one"
        )
    return view


def _remarks(device: dict[str, Any]) -> str:
    failed = f"failed: {', '.join(name[:12] for name in device['failed'])}"
    parts = [pairs(device["attributes"]), failed if device["failed"] else ""]
    parts += [f"serial {device['serial']}" if device["serial"] else "", device["reason"] or ""]
    parts += [f"flagged {plural(f['count'], 'time')}: {f['reason']}" for f in device["flags"]]
    return "; ".join(part for part in parts if part)


def _register(
    hub: HubAddress,
    file: SerialFile,
    models: ModelOptions,
    attribute: AttributeOption = [],  # noqa: B006 (typer copies it)
) -> Result:
    """Let devices in by serial number; a secret is made where neither it nor a key is given."""
    rows = json.dumps(_read_serials(file)).encode()
    answer = hub.client().post("serials", rows, model=models, attribute=attribute or None)
    if "warning" in answer:
        warn(answer["warning"])
    return Result(answer, _as_csv)


def _read_serials(file: Path) -> list[dict[str, str]]:
    """Read a CSV file; raises Invalid with its line."""
    from cloud_hub.errors import Invalid

    expected = f"{file}: expected CSV in UTF-8 with the columns {', '.join(COLUMNS)}"
    try:
        reader = csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(), strict=True)
        names = reader.fieldnames or []
        if "serial" not in names or not set(names) <= set(COLUMNS):
            raise Invalid(f"{expected}, of which serial has to be there, got {', '.join(names)}")
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise Invalid(f"{file}, line {reader.line_num}: expected {len(names)} columns")
            rows.append({name: text.strip() for name, text in row.items() if text.strip()})
            if "serial" not in rows[-1]:
                raise Invalid(f"{file}, line {reader.line_num}: expected a serial number")
    except (csv.Error, UnicodeDecodeError) as error:
        raise Invalid(f"{expected}; {error}") from error
    return rows


def _as_csv(answer: dict[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for device in answer["devices"]:
        writer.writerow([device[name] or "" for name in COLUMNS])
    return text.getvalue().rstrip("\n")


def _approve(hub: HubAddress, devices: Several) -> Result:
    """Let devices take part that wait; or one that was stopped, if you know that there is one."""
    client = hub.client()
    records = [client.post(f"devices/{device}/approve") for device in devices]
    return Result(records, lambda rs: "\n".join(f"{r['device']} is active" for r in rs))


def _revoke(hub: HubAddress, device: Device, reason: types.NeededReason) -> Result:
    """Stop a device, such as a stolen one: it gets nothing, and what it sends does not count."""
    record = hub.client().post(f"devices/{device}/revoke", reason=reason)
    return Result(record, lambda r: f"{r['device']} is revoked; what it holds it goes on serving")


def _forget(hub: HubAddress, device: Device, reason: types.NeededReason) -> Result:
    """Delete a device and all that it alone sent; sums over the fleet and the audit stay."""
    hub.client().post(f"devices/{device}/forget", reason=reason)
    return Result({"device": device}, lambda d: f"{d['device']} is forgotten")
