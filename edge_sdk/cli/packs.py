"""``edge pack``: look into packs, compare two of them, and make one of another by a delta."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[argparse.Namespace], int]


def add_pack_commands(commands: Any, row: Callable[[str], Any]) -> None:
    """Add ``pack`` to ``commands``; ``row`` parses an input from the command line."""
    pack = commands.add_parser("pack", help="look into packs, compare and update them")
    what = pack.add_subparsers(required=True, metavar="WHAT")
    _add(what, "info", "print the header", _info, pack="the pack")
    _add(
        what,
        "verify",
        "check every byte, the order of keys, the directory",
        _verify,
        pack="the pack",
    )
    get = _add(
        what, "get", "look a row up", lambda arguments: _get(arguments, row),
        pack="the pack", release="the release that it was made for",
    )  # fmt: skip
    get.add_argument("row", help="a JSON array, or an object by column name")
    diff = _add(
        what, "diff", "say what changed between two packs", _diff, old="a pack", new="the next one"
    )
    diff.add_argument("--out", type=Path, help="write the delta here")
    _add(
        what, "apply", "make the next pack of an old one by a delta", _apply,
        old="the pack that is here", delta="from edge pack diff --out", out="where it goes",
    )  # fmt: skip


def _add(what: Any, name: str, text: str, run: Run, **paths: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = what.add_parser(name, help=text)
    for path, meaning in paths.items():
        command.add_argument(path, type=Path, help=meaning)
    command.set_defaults(run=run)
    return command


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _info(arguments: argparse.Namespace) -> int:
    from edge_sdk.contract.codec import to_plain
    from edge_sdk.packs.reader import Pack

    with Pack.open(arguments.pack, now=0) as pack:  # an expired one may be looked at
        _print(to_plain(pack.header))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from edge_sdk.packs.reader import Pack

    with Pack.open(arguments.pack) as pack:
        pack.verify()
        print(f"ok: {len(pack)} entries for {pack.header.model} {pack.header.version}")
    return 0


def _get(arguments: argparse.Namespace, row: Callable[[str], Any]) -> int:
    from edge_sdk.model.keys import Canonicaliser
    from edge_sdk.model.release import Release
    from edge_sdk.model.schema import InputSchema
    from edge_sdk.packs.reader import Pack

    release = Release.open(arguments.release, verify=False)
    signature = release.manifest.signature
    key = Canonicaliser(signature).feed_key(InputSchema(signature).row(row(arguments.row)))
    with Pack.open(arguments.pack, release) as pack:
        found = pack.get(key) if key else None
    _print(None if found is None else {name: array.tolist() for name, array in found.items()})
    return 0 if found is not None else 1


def _diff(arguments: argparse.Namespace) -> int:
    from edge_sdk.errors import PackError
    from edge_sdk.packs.delta import compare, write_delta
    from edge_sdk.packs.reader import Pack

    with Pack.open(arguments.old) as old, Pack.open(arguments.new) as new:
        difference = compare(old.path, new.path)
        if isinstance(difference, str):
            raise PackError(f"no delta from {old.path} to {new.path}: {difference}")
        _print({**difference, "new_bytes": new.path.stat().st_size})
    if arguments.out is None:
        return 0
    if write_delta(arguments.old, arguments.new, arguments.out) is None:
        raise PackError(f"{arguments.out}: not written; the whole pack is no longer than the delta")
    return 0


def _apply(arguments: argparse.Namespace) -> int:
    from edge_sdk.packs.delta import apply_delta

    made = apply_delta(arguments.old, arguments.delta, arguments.out)
    print(f"ok: {made.count} entries for {made.model} {made.version}")
    return 0
