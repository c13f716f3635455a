"""``edge-hub approvals``: promotions that wait for a second person."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.approval_text import approval_line
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time
from cloud_hub.cli.shared.registration import ROLL_OUT, command, group

RequestNumber = Annotated[
    int, typer.Argument(parser=types.whole(1), metavar="NUMBER", help="Of the request.")
]
AllRequests = Annotated[bool, typer.Option("--all", help="Also those that were decided.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``approvals``."""
    text = "Promotions that wait for a second person."
    actions = group(app, "approvals", text, panel=ROLL_OUT)
    command(actions, "list", example="edge-hub approvals list --model digits")(_list)
    command(actions, "approve", example="edge-hub approvals approve 7")(_approve)
    refuse = "edge-hub approvals refuse 7 --reason 'not before Monday'"
    command(actions, "refuse", example=refuse)(_refuse)


def _list(hub: HubAddress, model: types.OnlyModel = None, all_: AllRequests = False) -> Result:
    """List promotions that wait: who asked for what, why, and until when."""
    asked = hub.client().get("approvals", model=model, pending=not all_)
    return Result(asked, _table)


def _approve(hub: HubAddress, number: RequestNumber) -> Result:
    """Carry out what somebody else asked for."""
    return Result(hub.client().post(f"approvals/{number}/approve"), approval_line)


def _refuse(hub: HubAddress, number: RequestNumber, reason: types.NeededReason) -> Result:
    """Have a request come to nothing, one's own or another's."""
    done = hub.client().post(f"approvals/{number}/refuse", reason=reason)
    return Result(done, approval_line)


def _table(rows: list[dict[str, Any]]) -> TextTable:
    columns = ("number", "model", "version", "asked by", "asked", "expires", "state", "reason")
    cells = [
        (
            r["id"], r["model"], r["version"], r["requested_by"], local_time(r["requested_at"]),
            local_time(r["expires_at"]), r["state"], r["reason"],
        )
        for r in rows
    ]  # fmt: skip
    return TextTable(columns, cells, empty="nothing waits for a second person")
