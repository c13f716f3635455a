"""``edge-hub publish``, ``models``, ``releases``, ``packs`` and ``forms``: releases and theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud_hub.cli.registry.certificates import add_certify
from cloud_hub.cli.release_text import release_view, releases_table
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, busy, local_time
from cloud_hub.cli.shared.registration import RELEASE, command, group
from edge_sdk.system.files import READABLE, write_atomic

if TYPE_CHECKING:
    from cloud_hub.client import AdminClient

Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Private releases key (PEM) that signs; default: the one in the folder of --data.",
    ),
]
Override = Annotated[
    str | None,
    typer.Option(
        parser=types.reason, metavar="REASON", help="Publish although the offline gate refuses."
    ),
]
TrainingState = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Pickle of the estimator, for stateful retraining."),
]
HtmlFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write it as a page to this file.")
]
TrainedOn = Annotated[
    list[str],
    typer.Option(metavar="NAME@N", help="Dataset that it was trained on, once for each."),
]
Promote = Annotated[bool, typer.Option("--promote", help="Let it serve everybody at once.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``publish``, ``models``, ``releases``, ``packs`` and ``forms``."""
    publish = "edge-hub publish digits-1.0 --key releases.pem"
    command(app, "publish", panel=RELEASE, example=publish)(_publish)
    command(app, "models", panel=RELEASE, example="edge-hub models --json")(_models)
    text = "What releases hold: their variants, and what was certified of each."
    actions = group(app, "releases", text, panel=RELEASE)
    command(actions, "list", example="edge-hub releases list digits")(_list)
    show = "edge-hub releases show digits 1.0 --html digits-1.0.html"
    command(actions, "show", example=show)(_show)
    add_certify(actions)
    command(app, "packs", panel=RELEASE, example="edge-hub packs digits")(_packs)
    command(app, "forms", panel=RELEASE, example="edge-hub forms digits")(_forms)


def _publish(
    hub: HubAddress,
    release: Annotated[Path, typer.Argument(metavar="RELEASE", help="Release folder.")],
    key: Key = None,
    training_state: TrainingState = None,
    override: Override = None,
    trained_on: TrainedOn = [],  # noqa: B006 (typer gives each call a list of its own)
    promote: Promote = False,
) -> Result:
    """Sign and publish a release folder."""
    client, key = hub.client(), _signing_key(key, hub.data)
    _check_datasets(client, release, trained_on)
    state = training_state.read_bytes() if training_state else None
    with busy(f"uploading {release}"):
        record = client.publish(release, key, training_state=state, override=override)
    if trained_on:
        path = f"models/{record['model']}/versions/{record['version']}/datasets"
        client.post(path, trained=trained_on)
    waits = False
    if promote:
        done = client.post(f"models/{record['model']}/promote", version=record["version"])
        waits = "approval" in done
    # Signing is done here, so the private key never travels: only its id is worth telling.
    signed = {"key": str(key), "id": _key_id(key)}
    return Result({**record, "signed_by": signed}, lambda r: _publish_text(r, promote, waits))


def _check_datasets(client: AdminClient, folder: Path, refs: list[str]) -> None:
    """Ask for each dataset before anything is published; raises HubFault for one that is none."""
    from edge_sdk.model.release import Release

    if refs:
        model = Release.open(folder).manifest.model
        for ref in refs:
            client.get(f"models/{model}/datasets/{ref}")


def _signing_key(key: Path | None, data: Path | None) -> Path:
    from cloud_hub.errors import Invalid

    if key is not None:
        return key
    if data is None:
        raise Invalid(
            "say which key signs: --key FILE with the publisher's private releases key. Devices "
            "take only what it signed, so whoever gets hold of the hub cannot publish: keep it "
            "with the publisher or CI, and off the hub for serious use (docs/KEYS.md). A hub that "
            "made its own has it on its machine, in DATA/keys/releases.pem"
        )
    return data / "keys" / "releases.pem"


def _key_id(key: Path) -> str:
    from cloud_hub.registry.signing import load_signer

    return str(load_signer(key).public_key.keyid)


def _publish_text(record: dict[str, Any], promoted: bool, waits: bool) -> str:
    signed = record["signed_by"]
    serves = "; it serves everybody" if promoted else ""
    if waits:
        serves = "; that it serves waits for a second person: edge-hub approvals list"
    return (
        f"{record['model']}: {record['version']} is published{serves}; "
        f"signed with {signed['key']} (key {signed['id'][:12]})"
    )


def _models(hub: HubAddress) -> Result:
    """List models, their versions and what serves."""
    return Result(hub.client().get("models"), _models_table)


def _models_table(models: list[dict[str, Any]]) -> TextTable:
    columns = ("model", "version", "status", "mode", "parent", "published", "metrics")
    rows = [
        (
            model["model"], record["version"], record["status"], record["mode"], record["parent"],
            local_time(record["published_at"]), record["metrics"],
        )
        for model in models
        for record in model["versions"]
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no models; edge-hub publish RELEASE adds one")


def _list(hub: HubAddress, model: types.Model) -> Result:
    """List every variant of a model's releases: precision, target, bytes, score."""
    return Result(hub.client().get(f"models/{model}/versions"), releases_table)


def _show(
    hub: HubAddress, model: types.Model, version: types.ModelVersion, html: HtmlFile = None
) -> Result:
    """Show a release: its data, its variants, why each is in it, why others are not."""
    client, path = hub.client(), f"models/{model}/versions/{version}"
    if html is None:
        shown = {**client.get(path), "datasets": client.get(f"{path}/datasets")}
        return Result(shown, release_view)
    write_atomic(html, client.text(f"{path}/release.html").encode(), mode=READABLE)
    return Result({"wrote": str(html)}, lambda done: f"wrote {done['wrote']}")


def _packs(hub: HubAddress, model: types.Model) -> Result:
    """List the packs that were built of a model."""
    return Result(hub.client().get(f"models/{model}/packs"), _packs_table)


def _packs_table(packs: list[dict[str, Any]]) -> TextTable:
    columns = ("version", "built", "answered by", "entries", "bytes", "delta bytes", "sha256")
    rows = [
        (
            pack["version"], local_time(pack["built_at"]), pack["answered_by"], pack["entries"],
            pack["length"], pack["delta"] or None, pack["sha256"][:12],
        )
        for pack in packs
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no packs yet")


def _forms(hub: HubAddress, model: types.Model) -> Result:
    """List how few bytes devices download: deltas between versions, and compressed files."""
    return Result(hub.client().get(f"models/{model}/forms"), _forms_table)


def _forms_table(forms: list[dict[str, Any]]) -> TextTable:
    columns = ("version", "file", "from", "bytes", "whole file", "share")
    rows = [
        (
            form["version"], form["file"], form["base"] or "nothing", form["length"],
            form["whole"], f"{form['length'] / form['whole']:.1%}",
        )
        for form in forms
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no forms yet; devices download whole files")
