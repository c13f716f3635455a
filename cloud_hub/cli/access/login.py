"""``edge-hub login``, ``logout`` and ``whoami``: as whom this machine asks a hub elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, local_time, warn
from cloud_hub.cli.shared.registration import SET_UP, command

Url = Annotated[str, typer.Argument(metavar="URL", help="Of the hub, such as https://hub:8000.")]
LoginToken = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN", help="Access token; - reads it from standard input; default: it is asked."
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", help="Authority of the hub's certificate, where it is private."
    ),
]
NewProfile = Annotated[
    str, typer.Option("--profile", parser=types.name, metavar="NAME", help="Name for later.")
]
Keep = Annotated[
    bool, typer.Option("--keep-token", help="Do not revoke the token: it is used elsewhere, too.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``login``, ``logout`` and ``whoami``."""
    example = "edge-hub login https://hub.example:8000"
    command(app, "login", panel=SET_UP, example=example)(_login)
    command(app, "logout", panel=SET_UP, example="edge-hub logout --profile work")(_logout)
    command(app, "whoami", panel=SET_UP, example="edge-hub whoami --json")(_whoami)


def _login(
    url: Url,
    token: LoginToken = None,
    ca: CaFile = None,
    profile: NewProfile = "default",
) -> Result:
    """Sign in to a hub: its URL and a token are kept for this user's commands."""
    from cloud_hub.client.admin import AdminClient
    from cloud_hub.client.profiles import Profile, write_profile

    _warn_of_plain_text(url)
    authority = str(ca.resolve()) if ca is not None else None
    secret = _asked(token)
    client = AdminClient(url, secret, verify=authority or True)
    who = client.get("session")
    file = write_profile(profile, Profile(client.url, secret, authority))
    shown = {**who, "hub": client.url, "profile": profile, "file": str(file)}
    return Result(shown, _login_text)


def _asked(token: str | None) -> str:
    if token == "-":
        return sys.stdin.readline().strip()
    if token is not None:
        return token.strip()
    import getpass

    return getpass.getpass("access token (edge-hub access-tokens new makes one): ").strip()


def _warn_of_plain_text(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        warn(f"{url}: without TLS whoever is in between reads the token; see docs/PEOPLE.md")


def _login_text(who: dict[str, Any]) -> str:
    return (
        f"signed in to {who['hub']} as {_who(who)}\n"
        f"  kept in {who['file']}, profile {who['profile']}; edge-hub logout forgets it"
    )


def _logout(profile: NewProfile = "default", keep_token: Keep = False) -> Result:
    """Forget a profile, and have its hub take the token back."""
    from cloud_hub.client.admin import AdminClient
    from cloud_hub.client.profiles import find_profile, remove_profile
    from cloud_hub.errors import HubFault

    found = find_profile(profile)
    revoked, problem = False, ""
    if not keep_token:
        try:
            client = AdminClient(found.hub, found.token, verify=found.ca or True, timeout=20)
            who = client.get("session")
            if who["token"] is not None:  # else it is the file's of the hub, and others use it
                client.post(f"access-tokens/{who['token']}/revoke")
                revoked = True
        except HubFault as error:
            # An expired token, or a hub that is away: this machine forgets it all the same.
            problem = str(error)
            warn(f"the token was not revoked: {problem}")
    file = remove_profile(profile)
    done = {"profile": profile, "hub": found.hub, "revoked": revoked, "file": str(file)}
    return Result(done, lambda d: f"signed out of {d['hub']}{' (token revoked)' * d['revoked']}")


def _whoami(hub: HubAddress) -> Result:
    """Say as whom the hub is asked, and what that may do."""
    client = hub.client()
    return Result(
        {**client.get("session"), "hub": client.url}, lambda who: f"{_who(who)} at {who['hub']}"
    )


def _who(who: dict[str, Any]) -> str:
    models = "all models" if who["models"] is None else ", ".join(who["models"]) or "no model"
    until = f", until {local_time(who['until'])}" if who["until"] is not None else ""
    return f"{who['name']} ({who['role']} of {models}{until})"
