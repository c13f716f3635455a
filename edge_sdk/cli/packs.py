"""``edge pack``: look into packs, compare two of them, and make one of another by a delta."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.cli.help import CommandGroups, json_option
from edge_sdk.cli.output import local_time, print_json, show

if TYPE_CHECKING:
    from edge_sdk.contract.pack import PackHeader

Run = Callable[[argparse.Namespace], int]


def add_pack_commands(commands: CommandGroups, row: Callable[[str], Any]) -> None:
    """Add ``pack`` and what is below it.

    Args:
        commands: of the program.
        row: parses an input from the command line.
    """
    text = "look into packs, compare and update them"
    what = CommandGroups(commands.add("pack", text, ["edge pack info answers.pack"]), "WHAT")
    what.group("look into")
    _add(what, "info", "show the header", _info, pack="a pack")
    _add(
        what, "verify", "check every byte, the order of keys, the directory", _verify, pack="a pack"
    )
    get = _add(
        what,
        "get",
        "look a row up, or an entity",
        lambda arguments: _get(arguments, row),
        pack="a pack",
    )
    text = "the release folder that it was made for; none for an entity"
    get.add_argument("release", type=Path, nargs="?", help=text)
    get.add_argument("row", nargs="?", help="a JSON array, or an object by column name")
    get.add_argument("--entity", metavar="NAME", help="of a pack of answers by entity")
    what.group("update")
    diff = _add(
        what, "diff", "show what changed between two packs", _diff, old="a pack", new="the next one"
    )
    diff.add_argument("--out", type=Path, metavar="FILE", help="write the delta here")
    _add(
        what,
        "apply",
        "make the next pack of an old one by a delta",
        _apply,
        old="the pack that is here",
        delta="from edge pack diff --out",
        out="the new pack's place",
    )


EXAMPLES: Final = {
    "info": "edge pack info answers.pack",
    "verify": "edge pack verify answers.pack",
    "get": "edge pack get users.pack --entity user-42",
    "diff": "edge pack diff old.pack new.pack --out new.delta",
    "apply": "edge pack apply old.pack new.delta new.pack",
}


def _add(
    what: CommandGroups, name: str, text: str, run: Run, **paths: str
) -> argparse.ArgumentParser:
    command = what.add(name, text, [EXAMPLES[name]], parent=json_option())
    for path, meaning in paths.items():
        command.add_argument(path, type=Path, help=meaning)
    command.set_defaults(run=run)
    return command


def _info(arguments: argparse.Namespace) -> int:
    from edge_sdk.contract.codec import to_plain
    from edge_sdk.packs.reader import Pack

    with Pack.open(arguments.pack, now=-1.0) as pack:  # an expired one may be looked at
        header = to_plain(pack.header)
    if not arguments.json and header.get("expires") is not None:
        header["expires"] = local_time(header["expires"])
    show(header, as_json=arguments.json)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from edge_sdk.packs.reader import Pack

    with Pack.open(arguments.pack) as pack:
        pack.verify()
        _print_whole(len(pack), pack.header, arguments)
    return 0


def _print_whole(count: int, header: PackHeader, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json({"entries": count, "model": header.model, "version": header.version})
    else:
        print(f"ok: {count} entries for {header.model} {header.version}")


def _get(arguments: argparse.Namespace, row: Callable[[str], Any]) -> int:
    from edge_sdk.errors import InputError
    from edge_sdk.model.keys import Canonicaliser
    from edge_sdk.model.release import Release
    from edge_sdk.model.schema import InputSchema
    from edge_sdk.packs.reader import Pack

    if arguments.entity is not None:
        return _get_entity(arguments)
    if arguments.release is None or arguments.row is None:
        raise InputError("row", "expected a release folder and a row, or --entity NAME")
    release = Release.open(arguments.release, verify=False)
    signature = release.manifest.signature
    key = Canonicaliser(signature).feed_key(InputSchema(signature).row(row(arguments.row)))
    with Pack.open(arguments.pack, release) as pack:
        outputs = pack.get(key) if key else None
    if outputs is None:
        if arguments.json:
            print_json(None)
        else:
            print("edge: the pack has no answer for this row", file=sys.stderr)
        return 1
    show({name: array.tolist() for name, array in outputs.items()}, as_json=arguments.json)
    return 0


def _get_entity(arguments: argparse.Namespace) -> int:
    """Show what is stored of an entity, its time over or not."""
    from edge_sdk.packs.entity_predictions import EntityPredictions, entity_keys

    answers = EntityPredictions.open(arguments.pack)
    entry = answers.pack.find(entity_keys([arguments.entity]).tobytes())
    if entry < 0:
        if arguments.json:
            print_json(None)
        else:
            why = answers.pack.damage or f"{arguments.entity!r:.60} has no answer in the pack"
            print(f"edge: {why}", file=sys.stderr)
        return 1
    show(answers.plain(entry), as_json=arguments.json)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from edge_sdk.errors import PackError
    from edge_sdk.packs.delta import compare, write_delta
    from edge_sdk.packs.reader import Pack

    with Pack.open(arguments.old) as old, Pack.open(arguments.new) as new:
        difference = compare(old.path, new.path)
        if isinstance(difference, str):
            raise PackError(f"no delta from {old.path} to {new.path}: {difference}")
        facts = {**difference, "new_bytes": new.path.stat().st_size}
    show(facts, as_json=arguments.json)
    if arguments.out is None:
        return 0
    if write_delta(arguments.old, arguments.new, arguments.out) is None:
        raise PackError(f"{arguments.out}: not written; the whole pack is no longer than the delta")
    return 0


def _apply(arguments: argparse.Namespace) -> int:
    from edge_sdk.packs.delta import apply_delta

    made = apply_delta(arguments.old, arguments.delta, arguments.out)
    _print_whole(made.count, made, arguments)
    return 0
