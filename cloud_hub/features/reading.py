"""Files of batch features: CSV with a header, whose first column names the entity."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from cloud_hub.errors import Invalid
from cloud_hub.features.table import FeatureTable
from edge_sdk.contract.errors import ContractError


def read_csv(path: Path, defaults: Mapping[str, str]) -> FeatureTable:
    """Read a table from a file.

    Args:
        path: CSV, in UTF-8 with or without a byte order mark.
        defaults: values by column, of entities that are not in the file.

    Raises:
        Invalid: no header, lines of another length, an entity twice, a column without default.
    """
    try:
        # "utf-8-sig" drops the mark that spreadsheets write before the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except OSError as error:
        raise Invalid(f"{path}: cannot read it; {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"{path}: cannot read it as CSV; {error}") from error
    if not lines or len(lines[0]) < 2:
        raise Invalid(f"{path}: expected a header: the entity, then at least one column")
    header = lines[0]
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise Invalid(f"{path}, line {number}: expected {len(header)} cells, got {len(line)}")
    entities, *columns = zip(*lines[1:], strict=True) if lines[1:] else [()] * len(header)
    try:
        return FeatureTable(entities, dict(zip(header[1:], columns, strict=True)), defaults)
    except ContractError as error:
        raise Invalid(f"{path}: {error}") from error


def parse_defaults(words: list[str]) -> dict[str, str]:
    """Return the values of ``NAME=VALUE`` words by name; raises Invalid."""
    pairs = [word.partition("=") for word in words]
    wrong = [word for word, (_, equals, _) in zip(words, pairs, strict=True) if not equals]
    if wrong:
        raise Invalid(f"--default: expected NAME=VALUE, got {wrong[0]!r}")
    return {name: value for name, _, value in pairs}
