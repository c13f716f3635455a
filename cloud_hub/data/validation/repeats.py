"""Checks of what is there twice: rows, features, rows of the holdout. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cloud_hub.data.validation.found import FEW, SIGMAS, Found, Skipped
from cloud_hub.data.validation.subject import ValidatedRows

CHANCE = 1.5
"""Times as many rows of the holdout may stand in the training as rows recur in the training."""


def duplicate_rows(subject: ValidatedRows) -> Iterator[Found]:
    """Find more rows with the same features than are usual."""
    policy, now = subject.policy, subject.statistics
    share = now.repeated / max(1, now.rows)
    text = f"{now.repeated:,} rows ({share:.1%}) have the features of another one"
    if subject.before is None:
        most = policy.max_duplicate_rows
        if share > most:
            yield Found(None, f"{text}, at most {most:.1%} are expected", share, most)
        return
    was = subject.before.statistics
    before = was.repeated / max(1, was.rows)
    limit = before + policy.max_duplicate_rise
    error = math.sqrt(share * (1 - share) / max(1, now.rows))
    if share > limit + SIGMAS * error:
        yield Found(None, f"{text}, {before:.1%} did before", share, limit)


def duplicate_features(subject: ValidatedRows) -> Iterator[Found]:
    """Find features that are the same in every row, and were not before."""
    known = set(subject.before.statistics.twins) if subject.before is not None else set()
    for first, second in subject.statistics.twins:
        if (first, second) not in known:
            yield Found(second, f"{second}: is the same as {first} in every row")


def holdout_overlap(subject: ValidatedRows) -> Iterator[Found]:
    """Find rows of the holdout among those that are trained on."""
    held = subject.holdout_rows
    if held is None:
        raise Skipped("there is no holdout with these columns")
    now = subject.statistics
    inside = int(subject.scan.holds(held).sum())
    share = inside / max(1, len(held))
    # Where rows recur by themselves, some do in the holdout too.
    limit = subject.policy.max_holdout_overlap + CHANCE * now.repeated / max(1, now.rows)
    if inside > FEW and share > limit:
        yield Found(
            None,
            f"{inside:,} of the {len(held):,} rows of the holdout ({share:.1%}) are among the rows "
            "to train on",
            share,
            limit,
        )
