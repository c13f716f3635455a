"""``edge provision``: first-boot files for a fleet of cards, before any of its devices starts."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Final

from edge_sdk.cli.help import CommandGroups, add_attributes
from edge_sdk.cli.output import show

LARGEST: Final = 4 << 20
"""Bytes of a list of serials, tokens or keys."""


def add_provision(commands: CommandGroups, json_output: argparse.ArgumentParser) -> None:
    """Add ``provision``."""
    examples = [
        "edge provision cards/ --hub https://hub:8000 --count 1000 --prefix SN- --model digits",
        "edge provision cards.zip --hub https://hub:8000 --serials SERIALS.csv --root root.json",
        "edge provision cards/ --hub https://hub:8000 --tokens TOKENS.txt",
    ]
    text = "write first-boot files for new cards, and the list that lets them in"
    provision = commands.add("provision", text, examples, parent=json_output)
    provision.add_argument("out", type=Path, help="folder to make, or a .zip")
    provision.add_argument("--hub", required=True, metavar="URL", help="of the hub, without a path")
    which = provision.add_mutually_exclusive_group(required=True)
    which.add_argument("--count", type=int, metavar="NUMBER", help="cards, numbered from 1")
    which.add_argument(
        "--serials", type=Path, metavar="FILE", help="serial numbers: one a line, or CSV (serial)"
    )
    which.add_argument(
        "--tokens", type=Path, metavar="FILE", help="one a line: edge-hub enrol-token M --count N"
    )
    provision.add_argument(
        "--prefix", default="SN-", help="of the serial numbers of --count (default: SN-)"
    )
    provision.add_argument("--model", help="whose fleet to join (default: all they are let in for)")
    add_attributes(provision)
    provision.add_argument(
        "--root", type=Path, metavar="FILE", help="root.json that the devices' trust starts from"
    )
    provision.set_defaults(run=_provision)


def _provision(arguments: argparse.Namespace) -> int:
    from edge_sdk.hub.address import checked_url
    from edge_sdk.provisioning.cards import REGISTER, cards_by_serial, cards_by_token, write_cards
    from edge_sdk.provisioning.first_boot import FirstBoot

    by_token = arguments.tokens is not None
    common = FirstBoot(
        hub=checked_url(arguments.hub),
        token="of each card",
        model=arguments.model,
        attributes=dict(arguments.attribute),
        root=None if arguments.root is None else _root(arguments.root),
    )
    if by_token:
        cards = cards_by_token(common, _lines(arguments.tokens))
    else:
        cards = cards_by_serial(common, _serials(arguments))
    write_cards(cards, arguments.out)
    model = arguments.model or "MODEL"
    serials = REGISTER if arguments.out.suffix == ".zip" else arguments.out / REGISTER
    register = f"edge-hub devices register {serials} --model {model}"
    facts = {"cards": len(cards), "out": str(arguments.out)}
    # Those of tokens are let in already; those of serials when the hub has been told of them.
    show(facts if by_token else {**facts, "next": register}, as_json=arguments.json)
    return 0


def _serials(arguments: argparse.Namespace) -> list[str]:
    if arguments.count is not None:
        digits = max(4, len(str(arguments.count)))
        return [f"{arguments.prefix}{n:0{digits}d}" for n in range(1, arguments.count + 1)]
    lines = _lines(arguments.serials)
    if lines and "serial" in next(csv.reader(lines[:1])):
        return [row["serial"].strip() for row in csv.DictReader(lines) if row["serial"]]
    return lines


def _root(path: Path) -> str:
    from edge_sdk.update.trust import check_root

    text = _text(path)
    check_root(text.encode())
    return text


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).splitlines() if line.strip()]


def _text(path: Path) -> str:
    from edge_sdk.errors import StateError, reason_of

    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise StateError(f"{path}: expected at most {LARGEST} bytes")
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path}: cannot be read; {reason_of(error)}") from error
