"""Histories on disk (``.jsonl``, ``.csv``), and the file of messages that a hub takes."""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.codec import encode, to_plain
from edge_sdk.contract.dtypes import STRING
from edge_sdk.contract.messages import Body, Message, kind_of
from edge_sdk.errors import InputError, StateError, reason_of
from edge_sdk.replay.past import Past
from edge_sdk.system.files import write_atomic

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.contract.serving_terms import Reporting

AT, LABEL, LABELLED_AT, ROW = "at", "label", "labelled_at", "row"

UNREADABLE: Final = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


def read_history(path: Path, signature: Signature) -> Iterator[Past]:
    """Yield the inputs of a history file.

    A line of ``.jsonl`` is an object with ``at`` (Unix seconds or ISO 8601), ``row`` (an array, or
    an object by column name), and perhaps ``label``, ``labelled_at`` and ``groups``. A ``.csv`` has
    the same by column: every other column is a feature.

    Args:
        path: of the file.
        signature: of the release, which says which columns are texts.

    Raises:
        InputError: a line is none; it says which.
        StateError: the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = _Lines(file)
            is_csv = path.suffix == ".csv"
            rows = _csv_rows(lines, signature) if is_csv else map(json.loads, _filled(lines))
            try:
                yield from map(_past, rows)
            except (*UNREADABLE, csv.Error) as error:
                raise InputError(
                    "replay", f"{path}: line {lines.number}: expected a time and a row; "
                    f"{type(error).__name__}: {error}",
                ) from error  # fmt: skip
    except OSError as error:
        raise StateError(f"{path}: {reason_of(error)}") from error


class _Lines:
    """The lines of a file; ``number`` is that of the last one, from 1 on."""

    def __init__(self, file: Iterable[str]) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.number += 1
            yield line


def _filled(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if not line.isspace())


def _past(plain: Any) -> Past:
    if not isinstance(plain, dict):
        raise TypeError(f"expected an object, got {plain!r:.40}")
    late = plain.get(LABELLED_AT)
    row, groups = plain[ROW], plain.get("groups")
    if not isinstance(row, list | dict) or not isinstance(groups, dict | None):
        raise TypeError("expected row as an array or object, groups as an object")
    at = _seconds(plain[AT])
    return Past(at, row, plain.get(LABEL), None if late is None else _seconds(late), groups)


def _seconds(given: Any) -> float:
    if isinstance(given, str):
        try:
            return float(given)
        except ValueError:
            moment = datetime.datetime.fromisoformat(given)
            return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()
    return float(given)


def _csv_rows(file: Iterable[str], signature: Signature) -> Iterator[dict[str, Any]]:
    texts = {column.name for column in signature.columns if column.dtype == STRING}
    labels_are_texts = any(isinstance(label, str) for label in signature.classes)
    for line in csv.DictReader(file):
        taken: dict[str, Any] = {
            name: line.pop(name, None) or None for name in (AT, LABEL, LABELLED_AT)
        }
        if taken[LABEL] is not None and not labels_are_texts:
            label = float(taken[LABEL])
            taken[LABEL] = int(label) if label.is_integer() and signature.classes else label
        row = {name: _cell(text, as_text=name in texts) for name, text in line.items()}
        yield {**taken, ROW: row}


def _cell(text: str | None, *, as_text: bool) -> Any:
    if text is None or text == "":
        return None
    if as_text:
        return text
    try:
        return float(text)
    except ValueError:
        return text  # of a group, or refused with its name


def boot_of(release: str, reporting: Reporting, files: Sequence[Path]) -> str:
    """Return the name under which the messages of a replay travel: the same for the same replay,
    so that a hub that is given them twice counts them once.

    Args:
        release: digest of its manifest.
        reporting: with other windows it is another replay.
        files: the history, and the pack if there is one.

    Raises:
        StateError: a file cannot be read.
    """
    digest = hashlib.sha256(f"{release} {reporting}".encode())
    for path in files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise StateError(f"{path}: {reason_of(error)}") from error
    return f"r{digest.hexdigest()[:15]}"


def write_messages(path: Path, boot: str, bodies: Iterable[Body]) -> int:
    """Write messages, one a line, whole or not at all; return their number.

    Raises:
        StateError: the file cannot be written.
    """
    lines = []
    for sequence, body in enumerate(bodies, 1):
        message = Message(boot, sequence, kind_of(body), to_plain(body))
        lines.append(encode(message))
    try:
        write_atomic(path, b"".join(line + b"\n" for line in lines))
    except OSError as error:
        raise StateError(f"{path}: {reason_of(error)}") from error
    return len(lines)
