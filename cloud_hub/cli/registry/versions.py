"""``edge-hub versions``: aliases, tags and descriptions of models and versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View
from cloud_hub.cli.shared.registration import RELEASE, command, group

if TYPE_CHECKING:
    from cloud_hub.aliases.reference import VersionReference

AliasName = Annotated[
    str, typer.Argument(metavar="ALIAS", help="Small letters, digits, - and _: champion.")
]
Pairs = Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Tags to set.")]
Keys = Annotated[list[str], typer.Argument(metavar="KEY…", help="Tags to remove.")]
Words = Annotated[str, typer.Argument(metavar="TEXT", help="In words; '' removes it.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``versions``."""
    text = "What versions are called: aliases, tags, descriptions."
    actions = group(app, "versions", text, panel=RELEASE)
    command(actions, "show", example="edge-hub versions show digits@champion")(_show)
    command(actions, "alias", example="edge-hub versions alias digits/1.2 champion")(_alias)
    command(actions, "unalias", example="edge-hub versions unalias digits champion")(_unalias)
    command(actions, "tag", example="edge-hub versions tag digits@champion reviewed=yes")(_tag)
    command(actions, "untag", example="edge-hub versions untag digits/1.2 reviewed")(_untag)
    describe = "edge-hub versions describe digits/1.2 'trained on the new scanner'"
    command(actions, "describe", example=describe)(_describe)


def _parsed(reference: str) -> VersionReference:
    from cloud_hub.aliases.reference import parse_reference

    return parse_reference(reference)


def _show(hub: HubAddress, reference: types.ModelReference) -> Result:
    """Show what a model and its versions are called, or which version a reference names."""
    client, found = hub.client(), _parsed(reference)
    names = client.get(f"models/{found.model}/names")
    if found.word is None:
        return Result({"model": found.model, **names}, _names_view)
    one = client.get(f"models/{found.model}/resolve", version=found.word)
    given = names["versions"].get(one["version"]) or {"description": "", "tags": {}, "aliases": []}
    return Result({**one, **given}, _version_text)


def _version_text(one: dict[str, Any]) -> str:
    lines = [f"{one['model']} {one['version']}  manifest {one['manifest'][:12]}"]
    lines += [f"  @{alias}" for alias in one["aliases"]]
    lines += [f"  {key}={value}" for key, value in one["tags"].items()]
    return "\n".join([*lines, *([f"  {one['description']}"] if one["description"] else [])])


def _names_view(names: dict[str, Any]) -> View:
    own = [f"{key}={value}" for key, value in names["tags"].items()]
    head = " ".join([names["model"] + ":", names["description"], *own]).replace("  ", " ")
    rows = [
        (version, [f"@{alias}" for alias in given["aliases"]], given["tags"], given["description"])
        for version, given in sorted(names["versions"].items())
    ]
    columns = ("version", "aliases", "tags", "description")
    return [head, TextTable(columns, rows, empty="no version has an alias, a tag or a description")]


def _alias(hub: HubAddress, reference: types.ModelReference, alias: AliasName) -> Result:
    """Give a version an alias; it leaves the version that had it, and nothing is rolled out."""
    client, found = hub.client(), _needs_version(reference)
    path = f"models/{found.model}/aliases/{alias}"
    answer = client.response("PUT", path, version=found.word).json()
    return Result(answer, lambda a: f"{a['model']}@{a['alias']} is {a['version']}")


def _unalias(hub: HubAddress, model: types.Model, alias: AliasName) -> Result:
    """Take an alias away."""
    hub.client().response("DELETE", f"models/{model}/aliases/{alias}")
    gone = {"model": model, "alias": alias}
    return Result(gone, lambda a: f"{a['model']}: no version has the alias {a['alias']} any more")


def _tag(hub: HubAddress, reference: types.ModelReference, tags: Pairs) -> Result:
    """Tag a model or a version."""
    client, found = hub.client(), _parsed(reference)
    pairs = dict(_pair(text) for text in tags)
    for key, value in pairs.items():
        path = f"models/{found.model}/tags/{key}"
        client.response("PUT", path, value=value, version=found.word)
    return _said(found, {"tags": pairs}, "tagged")


def _untag(hub: HubAddress, reference: types.ModelReference, keys: Keys) -> Result:
    """Take tags of a model or a version away."""
    client, found = hub.client(), _parsed(reference)
    for key in keys:
        client.response("DELETE", f"models/{found.model}/tags/{key}", version=found.word)
    return _said(found, {"removed": keys}, "tags removed")


def _describe(hub: HubAddress, reference: types.ModelReference, text: Words) -> Result:
    """Say what a model or a version is."""
    client, found = hub.client(), _parsed(reference)
    client.response("PUT", f"models/{found.model}/description", text=text, version=found.word)
    return _said(found, {"description": text}, "described")


def _said(found: VersionReference, done: dict[str, Any], verb: str) -> Result:
    data = {"model": found.model, "version": found.word, **done}
    what = f"{found.model} {found.word or ''}".strip()
    return Result(data, lambda _: f"{what}: {verb}")


def _needs_version(reference: str) -> VersionReference:
    from cloud_hub.errors import Invalid

    found = _parsed(reference)
    if found.word is None:
        raise Invalid(f"reference: expected a version, as in {reference}/1.2, got a model alone")
    return found


def _pair(text: str) -> tuple[str, str]:
    from cloud_hub.errors import Invalid

    key, mark, value = text.partition("=")
    if not mark or not key:
        raise Invalid(f"tag: expected KEY=VALUE, got {text!r:.60}")
    return key, value
