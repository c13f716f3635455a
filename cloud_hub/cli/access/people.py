"""``edge-hub people`` and ``access-tokens``: who may do what, and with which token."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time
from cloud_hub.cli.shared.registration import ADMINISTER, command, group

RoleWord = Literal["caller", "viewer", "operator", "publisher", "administrator"]
NewRole = Annotated[
    RoleWord,
    typer.Option("--role", help="What they may do; each role includes those before it."),
]
MostRole = Annotated[
    RoleWord | None, typer.Option("--role", help="The most that it may do; default: all of it.")
]
PersonName = Annotated[
    str, typer.Argument(metavar="NAME", help="Of a person, such as ann or ann@example.com.")
]
OnModels = Annotated[
    list[str],
    typer.Option(
        "--model",
        parser=types.name,
        metavar="MODEL",
        help="On which model; may be given several times; default: on all.",
    ),
]
Service = Annotated[
    bool, typer.Option("--service", help="A program: it has tokens, and no page or approvals.")
]
Subject = Annotated[
    str | None,
    typer.Option(
        metavar="ISSUER#SUBJECT", help="Who they are at the OpenID Connect provider, if known."
    ),
]
Whose = Annotated[
    str, typer.Option("--person", metavar="NAME", help="Whose it is; default: yours.")
]
TokenName = Annotated[
    str, typer.Option("--name", metavar="TEXT", help="What it is for, in your words.")
]
Days = Annotated[
    float, typer.Option(parser=types.amount(366), metavar="DAYS", help="How long it is valid.")
]
AllTokens = Annotated[bool, typer.Option("--all", help="Also those that are expired or revoked.")]
AccessTokenId = Annotated[str, typer.Argument(metavar="ID", help="As access-tokens list says.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``people`` and ``access-tokens``."""
    text = "People and service accounts: who may do what."
    people = group(app, "people", text, panel=ADMINISTER)
    add = "edge-hub people add ann --role operator --model digits"
    command(people, "add", example=add)(_add)
    command(people, "list", example="edge-hub people list --json")(_list)
    command(people, "change", example="edge-hub people change ann --role publisher")(_change)
    command(people, "disable", example="edge-hub people disable ann --reason 'left'")(_disable)
    command(people, "enable", example="edge-hub people enable ann")(_enable)
    text = "Tokens with which people and programs ask the hub."
    tokens = group(app, "access-tokens", text, panel=ADMINISTER)
    new = "edge-hub access-tokens new --name laptop --days 90"
    command(tokens, "new", example=new)(_new)
    command(tokens, "list", example="edge-hub access-tokens list --all")(_tokens)
    command(tokens, "revoke", example="edge-hub access-tokens revoke 1f0c9a2b7d")(_revoke)


def _add(
    hub: HubAddress,
    name: PersonName,
    role: NewRole,
    model: OnModels = [],  # noqa: B006 (typer copies it)
    service: Service = False,
    subject: Subject = None,
) -> Result:
    """Add a person or a service account; access-tokens new makes their first token."""
    added = hub.client().post(
        "people", name=name, role=role, model=model or None,
        kind="service" if service else "person", subject=subject,
    )  # fmt: skip
    next_ = f"next: edge-hub access-tokens new --person {name} --name first"
    return Result(added, lambda p: f"{_person_text(p)}\n{next_}")


def _list(hub: HubAddress) -> Result:
    """List people and service accounts, with what they may do."""
    return Result(hub.client().get("people"), _people_table)


def _change(
    hub: HubAddress,
    name: PersonName,
    role: NewRole,
    model: OnModels = [],  # noqa: B006 (typer copies it)
) -> Result:
    """Give a person another role, on all models or on those that are named; it holds at once."""
    path = f"people/{_in_path(name)}/change"
    return Result(hub.client().post(path, role=role, model=model or None), _person_text)


def _disable(hub: HubAddress, name: PersonName, reason: types.NeededReason) -> Result:
    """Let a person in no more: their tokens are void, and their browsers signed out."""
    path = f"people/{_in_path(name)}/disable"
    return Result(hub.client().post(path, reason=reason), _person_text)


def _enable(hub: HubAddress, name: PersonName) -> Result:
    """Let a person in again, with the tokens that were not revoked."""
    return Result(hub.client().post(f"people/{_in_path(name)}/enable"), _person_text)


def _new(
    hub: HubAddress,
    name: TokenName,
    person: Whose = "",
    role: MostRole = None,
    model: OnModels = [],  # noqa: B006 (typer copies it)
    days: Days = 90.0,
) -> Result:
    """Make an access token; it is shown only now."""
    made = hub.client().post(
        "access-tokens", name=name, of=person or None, role=role, model=model or None,
        seconds=days * 86_400,
    )  # fmt: skip
    return Result(made, lambda token: str(token["token"]))


def _tokens(hub: HubAddress, all_: AllTokens = False) -> Result:
    """List your access tokens; administrators see everybody's."""
    return Result(hub.client().get("access-tokens", usable=not all_), _tokens_table)


def _revoke(hub: HubAddress, token_id: AccessTokenId) -> Result:
    """Let nobody in with a token any more, and sign browsers out that used it."""
    revoked = hub.client().post(f"access-tokens/{_in_path(token_id)}/revoke")
    return Result(revoked, lambda t: f"{t['id']} ({t['name']} of {t['person']}): revoked")


def _in_path(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def _person_text(person: dict[str, Any]) -> str:
    kind = "" if person["kind"] == "person" else f" ({person['kind']})"
    disabled = "; disabled" if person["disabled_at"] is not None else ""
    return f"{person['name']}{kind}: {person['role']} of {_models(person)}{disabled}"


def _people_table(people: list[dict[str, Any]]) -> TextTable:
    columns = ("name", "kind", "role", "models", "added", "by", "disabled")
    rows = [
        (
            p["name"], p["kind"], p["role"], _models(p), local_time(p["made_at"]), p["made_by"],
            p["reason"] if p["disabled_at"] is not None else None,
        )
        for p in people
    ]  # fmt: skip
    return TextTable(columns, rows, empty="nobody yet; edge-hub people add NAME --role ROLE")


def _tokens_table(tokens: list[dict[str, Any]]) -> TextTable:
    columns = ("id", "person", "name", "role", "models", "expires", "last used", "revoked")
    rows = [
        (
            t["id"], t["person"], t["name"], t["role"], _models(t, "all of the person's"),
            local_time(t["expires_at"]), local_time(t["used_at"]), local_time(t["revoked_at"]),
        )
        for t in tokens
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no tokens; edge-hub access-tokens new --name NAME")


def _models(row: dict[str, Any], everything: str = "all models") -> str:
    return everything if row["models"] is None else ", ".join(row["models"])
