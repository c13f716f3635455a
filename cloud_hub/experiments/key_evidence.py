"""Evidence of a test by key: sums by bucket of keys, and what they are by device. Pure.

Everything of such a test is counted from buckets, so that no verdict rests on outcomes whose keys
nobody can tell apart; a device that reports none, of older software, counts for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from cloud_hub.experiments.verdict.evidence import ArmEvidence, Row
from cloud_hub.statistics.keys import opposite
from edge_sdk.contract.key_buckets import BUCKETS

if TYPE_CHECKING:
    from cloud_hub.experiments.exposure_rows import ArmSums, KeySums
    from cloud_hub.statistics.clustered import Floats
    from cloud_hub.statistics.heterogeneity import Counts
    from edge_sdk.contract.plan import Measure

COLUMNS: Final[Mapping[Measure, tuple[str, str, str]]] = {
    "accuracy": ("labelled", "correct", "correct"),  # of 0 and 1 the squares are the values
    "reward": ("rewards", "reward_sum", "reward_squares"),
    "latency": ("latency_n", "latency_sum", "latency_squares"),
    "errors": ("requests", "errors", "errors"),
}
"""How many outcomes of a measure, their sum and their sum of squares."""


def key_arm(name: str, rows: Sequence[KeySums], sums: Sequence[ArmSums]) -> ArmEvidence:
    """Return the evidence of one arm.

    Args:
        name: of the arm.
        rows: sums by bucket since the step began, of all arms.
        sums: what devices reported since the step began, buckets or not.
    """
    tables = {measure: _tables(name, rows, columns) for measure, columns in COLUMNS.items()}
    asked = tables["errors"]
    told = {row.device for row in sums if row.arm == name and row.sums.requests}
    wrong = {device: opposite(table) for device, table in tables["accuracy"].items()}
    failures = {"errors": asked, "wrong labels": wrong}
    return ArmEvidence(
        outcomes={m: {d: _row(table) for d, table in t.items()} for m, t in tables.items()},
        failures={
            kind: {(d, 0): _counts(table) for d, table in by_device.items()}
            for kind, by_device in failures.items()
        },
        exposed=frozenset(asked),
        predictions=round(sum(float(table[:, 0].sum()) for table in asked.values())),
        key_outcomes=tables,
        key_failures=failures,
        without_buckets=frozenset(told - {row.device for row in rows}),
    )


def units_of(rows: Sequence[KeySums], arms: Collection[str]) -> dict[str, Floats]:
    """Return how many keys devices saw for the first time, by arm: [buckets] each.

    A device that starts again sees its keys for the first time again, in the same buckets.

    Args:
        rows: sums by bucket.
        arms: names of the arms.
    """
    return {
        arm: sum((_column(row, "units") for row in rows if row.arm == arm), np.zeros(BUCKETS))
        for arm in arms
    }


def _tables(arm: str, rows: Sequence[KeySums], columns: tuple[str, str, str]) -> dict[str, Floats]:
    """Rows by bucket of each device that has an outcome, [buckets, 3]."""
    tables: dict[str, Floats] = {}
    for row in rows:
        if row.arm == arm and columns[0] in row.columns:
            table = np.stack([_column(row, name) for name in columns], axis=1)
            tables[row.device] = tables[row.device] + table if row.device in tables else table
    return tables


def _column(row: KeySums, name: str) -> Floats:
    return row.columns.get(name, np.zeros(BUCKETS))


def _row(table: Floats) -> Row:
    n, total, squares = table.sum(axis=0).tolist()
    return n, total, squares


def _counts(table: Floats) -> Counts:
    n, failed, _ = table.sum(axis=0).tolist()
    return failed, n
