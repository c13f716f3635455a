"""``edge-hub keys``: how long signatures last, and how any key is renewed, replaced, recovered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.output import Result, TextTable, warn
from cloud_hub.cli.shared.registration import ADMINISTER, command, group

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from cloud_hub.registry.keys.request import SigningRequest
    from cloud_hub.registry.keys.service import KeyOutcome, Keys

DataFolder = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the hub.")]


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"expected {', '.join(words)}; got {text[:40]!r}")
        return text

    return parse


Groups = Annotated[
    list[str],
    typer.Argument(
        parser=_one_of("offline", "releases", "online"),
        metavar="KEYS...",
        help="offline, releases or online; several at once.",
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Argument(
        parser=_one_of("root", "targets", "releases"),
        metavar="[ROLE]...",
        help="root, targets, releases; default: those whose keys are (or are not) at hand.",
    ),
]
Days = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 3_650), metavar="DAYS", help="How long they are valid from now on."
    ),
]
KeyFiles = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="PEM", help="Private key that signs; may be repeated."),
]
Add = Annotated[
    list[Path] | None,
    typer.Option("--add", metavar="PEM", help="Public key that comes; may be repeated."),
]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove", metavar="ID", help="Key that goes: the beginning of its id, its file, or all."
    ),
]
Threshold = Annotated[
    int | None,
    typer.Option(
        parser=types.whole(1, 99), metavar="NUMBER", help="Signatures that it takes afterwards."
    ),
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="FILE", help="Signing request to write for what is missing."),
]
Request = Annotated[Path, typer.Argument(metavar="FILE", help="Signing request.")]
Requests = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Signing request, or signed copies of it.")
]
NewFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the keys are put.")]
Count = Annotated[
    int, typer.Option(parser=types.whole(1, 99), metavar="NUMBER", help="How many keys.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``keys``."""
    text = "What signatures last how long; renew, replace and recover keys."
    actions = group(app, "keys", text, panel=ADMINISTER)
    command(actions, "status", example="edge-hub keys status hub-data")(_status)
    renew = "edge-hub keys renew hub-data --key /media/stick/offline.pem"
    command(actions, "renew", example=renew)(_renew)
    rotate = "edge-hub keys rotate hub-data online --to request.json"
    command(actions, "rotate", example=rotate)(_rotate)
    command(actions, "export", example="edge-hub keys export hub-data request.json")(_export)
    sign = "edge-hub keys sign request.json --key /media/stick/offline-1.pem"
    command(actions, "sign", example=sign)(_sign)
    command(actions, "import", example="edge-hub keys import hub-data request.json")(_import)
    command(actions, "new", example="edge-hub keys new /media/stick --count 3")(_new)
    confirm = "edge-hub keys confirm-clock hub-data"
    command(actions, "confirm-clock", example=confirm)(_confirm_clock)


def _status(data: DataFolder) -> Result:
    """Show every role, its keys and its end; exit status 1 if somebody has to do something."""
    status = _keys(data).status()
    plain = {
        "keys": status.summary,
        "clock": status.clock or "ok",
        "roles": [{**asdict(role)} for role in status.roles],
    }
    return Result(plain, _status_text, status=0 if status.is_well else 1)


def _status_text(status: dict[str, Any]) -> Sequence[str | TextTable]:
    columns = ("role", "version", "expires", "days left", "signed by", "here", "renewed by")
    rows = [
        (
            role["role"], role["version"], role["expires"][:10], round(role["days_left"], 1),
            _signers_of(role),
            len(role["held"]), "the hub" if role["renews"] else "you",
        )
        for role in status["roles"]
    ]  # fmt: skip
    clock = [] if status["clock"] == "ok" else [f"clock: {status['clock']}; nothing is signed"]
    return [TextTable(columns, rows), f"keys: {status['keys']}", *clock]


def _signers_of(role: dict[str, Any]) -> str:
    ids = ", ".join(keyid[:12] for keyid in role["keys"])
    return f"{role['threshold']} of {ids}" if len(role["keys"]) > 1 else ids


def _renew(data: DataFolder, roles: Roles = None, days: Days = 365, key: KeyFiles = None) -> Result:
    """Make offline roles valid for longer, with the keys at hand."""
    from cloud_hub.errors import Conflict

    outcome = _keys(data).renew(roles or [], days, _signers(key))
    if not outcome.done or outcome.request is None:
        raise Conflict(
            "the keys at hand do not suffice: name them with --key, or sign elsewhere: "
            f"edge-hub keys export {data} FILE"
        )
    return _in_force(outcome)


def _rotate(
    data: DataFolder,
    groups: Groups,
    add: Add = None,
    remove: Remove = None,
    threshold: Threshold = None,
    days: Days = 365,
    key: KeyFiles = None,
    to: To = None,
) -> Result:
    """Replace keys by new ones; after a theft this takes back what the thief signed."""
    from cloud_hub.errors import Invalid
    from cloud_hub.registry.key_folder import public_key
    from cloud_hub.registry.keys.changes import KeyChange

    gone = tuple(public_key(Path(t)).keyid if Path(t).is_file() else t for t in remove or [])
    change = KeyChange(tuple(map(public_key, add or [])), gone, threshold)
    if change != KeyChange() and len(groups) > 1:
        raise Invalid("--add, --remove and --threshold are for one group of keys at a time")
    keys = _keys(data)
    outcome = keys.rotate(
        dict.fromkeys(groups, change), days, _signers(key), to_file=to is not None
    )
    if outcome.done:
        return _in_force(outcome)
    if to is None:
        raise Invalid("signatures are missing: name the file for a signing request with --to")
    return _written(outcome, to)


def _export(data: DataFolder, file: Request, roles: Roles = None, days: Days = 365) -> Result:
    """Write a signing request that makes offline roles valid for longer."""
    return _written(_keys(data).export(roles or [], days), file)


def _sign(file: Request, key: KeyFiles = None) -> Result:
    """Say what a signing request says, and sign it; needs no hub. Without --key only say it."""
    from cloud_hub.registry.keys.request import SigningRequest
    from cloud_hub.registry.keys.service import said_of

    request = SigningRequest.read(file)
    says = said_of(request, time.time())
    signers = _signers(key)
    if signers:
        request.sign(signers)
        version = request.current["root"].signed.version
        for name in request.unknown(signers):
            warn(
                f"{name}: this key did not sign root {version}, which is said to be in force: "
                "compare the key ids with a copy of your own before you let this be imported"
            )
        request.write(file, says)
    return Result(_plain(request, says, file), _request_text)


def _import(data: DataFolder, files: Requests) -> Result:
    """Put a signed request in force, whole, once every signature is there."""
    from cloud_hub.registry.keys.request import SigningRequest

    return _in_force(_keys(data).take([SigningRequest.read(file) for file in files]))


def _new(folder: NewFolder, count: Count = 1) -> Result:
    """Make offline keys, on a machine of your own; needs no hub."""
    from cloud_hub.registry.key_folder import OfflineKeys

    made = OfflineKeys(folder, count).make()
    paths = [str(folder / f"offline-{i + 1}.pem") for i in range(count)]
    rows = [{"key": p, "id": s.public_key.keyid} for p, s in zip(paths, made, strict=True)]
    return Result(rows, _new_table)


def _new_table(rows: list[dict[str, Any]]) -> TextTable:
    return TextTable(("key", "id"), [(row["key"], row["id"][:12]) for row in rows])


def _confirm_clock(data: DataFolder) -> Result:
    """Say that the clock of this machine is right, after it jumped or the hub was off for long."""
    return Result({"clock": _keys(data).confirm_clock()}, lambda answer: str(answer["clock"]))


def _keys(data: Path) -> Keys:
    from cloud_hub.hub import open_keys

    # As serve has them: where the signed metadata is in a bucket, so it is for its owner.
    return open_keys(data, os.environ.get("HUB_DATABASE_URL"), os.environ.get("HUB_ARTIFACTS_URL"))


def _signers(paths: list[Path] | None) -> dict[str, Signer]:
    from cloud_hub.registry.signing import load_signer

    return {str(path): load_signer(path) for path in paths or []}


def _in_force(outcome: KeyOutcome) -> Result:
    data = {"done": True, "says": list(outcome.says)}
    return Result(data, lambda d: "\n".join(["in force:", *(f"  {line}" for line in d["says"])]))


def _written(outcome: KeyOutcome, path: Path) -> Result:
    assert outcome.request is not None
    outcome.request.write(path, outcome.says)
    return Result(_plain(outcome.request, outcome.says, path), _request_text)


def _plain(request: SigningRequest, says: Sequence[str], path: Path) -> dict[str, Any]:
    from cloud_hub.registry.keys.request import said

    missing = request.missing()
    return {
        "file": str(path),
        "says": list(says),
        "signatures": [said(m) for m in missing],
        "done": False,
        "complete": not any(m.count for m in missing),
    }


def _request_text(request: dict[str, Any]) -> str:
    lines = [f"{request['file']} says:", *(f"  {line}" for line in request["says"])]
    lines += ["signatures:", *(f"  {line}" for line in request["signatures"])]
    file = request["file"]
    following = (
        f"edge-hub keys import DATA {file}"
        if request["complete"]
        else f"edge-hub keys sign {file} --key PEM"
    )
    return "\n".join([*lines, f"next: {following}"])
