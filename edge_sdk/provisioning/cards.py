"""First-boot files for many cards at once, and the list by which the hub lets them in."""

from __future__ import annotations

import csv
import io
import os
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from edge_sdk.contract.fleet import check_serial
from edge_sdk.errors import StateError, reason_of
from edge_sdk.provisioning.first_boot import NAME, FirstBoot
from edge_sdk.system.files import fsync_directory, fsync_file, write_atomic

REGISTER: Final = "serials.csv"
"""For ``edge-hub devices register``; has the secrets."""

LABELS: Final = "labels.csv"
"""For a printer of labels; has none."""

MOST: Final = 10_000
"""Cards at once: as many as a hub registers at once."""


@dataclass(frozen=True)
class Card:
    """One card.

    Attributes:
        folder: name of its folder.
        content: its first-boot file.
    """

    folder: str
    content: FirstBoot


def new_secret() -> str:
    """Return a one-time secret, as a hub makes them."""
    return f"enrol_{secrets.token_urlsafe(24)}"


def cards_by_serial(
    common: FirstBoot, serials: Sequence[str], secret: Callable[[], str] = new_secret
) -> list[Card]:
    """Return a card for each serial number, with a secret of its own.

    Args:
        common: what all cards say.
        serials: of the devices.
        secret: makes one.

    Raises:
        ContractError: one is no serial number.
        StateError: there are none or too many, or two would have one folder.
    """
    cards = []
    for serial in serials:
        check_serial(serial)
        # A slash would be a folder more, and a colon no name on FAT.
        folder = quote(serial, safe="._+-").replace("%", "=")
        cards.append(Card(folder, replace(common, serial=serial, token=secret())))
    return _checked(cards)


def cards_by_token(common: FirstBoot, tokens: Sequence[str]) -> list[Card]:
    """Return a card for each token of ``edge-hub enrol-token M --count N``.

    Args:
        common: what all cards say.
        tokens: for one device each.

    Raises:
        StateError: there are none or too many, or one is there twice.
    """
    if len(set(tokens)) < len(tokens):
        raise StateError("tokens: expected each once: a token lets one device in")
    digits = len(str(len(tokens)))
    return _checked(
        Card(f"card-{number:0{digits}d}", replace(common, token=token))
        for number, token in enumerate(tokens, 1)
    )


def _checked(cards: Sequence[Card] | Iterator[Card]) -> list[Card]:
    made = list(cards)
    if not 1 <= len(made) <= MOST:
        raise StateError(f"cards: expected 1 to {MOST} at once, got {len(made)}")
    seen: dict[str, str] = {}
    for card in made:
        # Card readers of other systems tell no capitals from small letters.
        twin = seen.setdefault(card.folder.casefold(), card.folder)
        if twin is not card.folder:
            raise StateError(f"{card.folder}: is there twice, perhaps in capitals: {twin}")
    return made


def write_cards(cards: Sequence[Card], out: Path) -> None:
    """Write a folder with a folder for each card, or a ``.zip`` with them; all of it or nothing.

    Every file can be read by its user alone.

    Args:
        cards: to be written.
        out: folder or ``.zip`` that is not there yet.

    Raises:
        StateError: it is there already, or cannot be written.
    """
    try:
        if out.exists():
            raise StateError(f"{out}: is there already; its secrets may be on cards, so it stays")
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".zip":
            write_atomic(out, _zipped(cards))
        else:
            _write_folder(cards, out)
    except OSError as error:
        raise StateError(f"{out}: cannot be written; {reason_of(error)}") from error


def _files(cards: Sequence[Card]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of all files."""
    for card in cards:
        yield f"{card.folder}/{NAME}", card.content.to_bytes()
    yield LABELS, _csv(("card", "serial"), ((c.folder, c.content.serial or "") for c in cards))
    if all(card.content.serial is not None for card in cards):
        rows = ((c.content.serial or "", c.content.token or "") for c in cards)
        yield REGISTER, _csv(("serial", "secret"), rows)


def _csv(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _zipped(cards: Sequence[Card]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in _files(cards):
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            file.writestr(entry, content)
    return packed.getvalue()


def _write_folder(cards: Sequence[Card], out: Path) -> None:
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
    try:
        for name, content in _files(cards):
            path = temporary / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            fsync_file(path)
            fsync_directory(path.parent)
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_directory(out.parent)
