"""Rehearsal: old rows among the fresh ones, so that a model does not forget them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset, stacked
from cloud_hub.data.fit import fitted
from cloud_hub.data.row_hashes import row_hashes
from cloud_hub.errors import Invalid

if TYPE_CHECKING:
    from cloud_hub.policy.schema.rehearsal import RehearsalPolicy


def rehearsal_rows(
    fresh: Dataset,
    known: Sequence[Dataset],
    policy: RehearsalPolicy,
    *,
    seed: int,
    never: Sequence[Dataset] = (),
) -> tuple[Dataset | None, str]:
    """Draw old rows to be trained on beside fresh ones.

    Args:
        fresh: labelled rows that are trained on.
        known: datasets to draw from; rows of other features are passed over.
        policy: the share of all rows that are old, and how they are drawn.
        seed: of the draw.
        never: rows that must not be trained on: the holdout, and what is held back.

    Returns:
        Labelled rows with the features of ``fresh``, ``None`` if there are none; and what was
        drawn, or why nothing was, in words.
    """
    if policy.share <= 0 or not len(fresh):
        return None, ""
    usable = [fit for data in known if (fit := _fitting(data, fresh)) is not None]
    if not usable:
        return None, "no rehearsal: no dataset has rows with labels and these features"
    pool = stacked(usable)
    pool = pool.take(~_among(pool, [*never, fresh]))
    wanted = round(len(fresh) * policy.share / (1 - policy.share))
    rows = _drawn(pool, wanted, policy, np.random.default_rng(seed))
    if not len(rows):
        return None, "no rehearsal: all known rows are among those of now"
    short = f", {wanted} were wanted" if len(rows) < wanted else ""
    return pool.take(rows), f"{len(rows)} old rows beside {len(fresh)} fresh ones{short}"


def _fitting(data: Dataset, fresh: Dataset) -> Dataset | None:
    if data.label is None or (data.positional and len(data.names) != len(fresh.names)):
        return None  # columns without names of their own: the first few need not be the same
    try:
        fit = fitted(data, fresh.names, "the training").labelled()
        stacked([fresh.labelled().take(np.arange(0)), fit.take(np.arange(0))])
    except Invalid:
        return None
    return fit


def _among(pool: Dataset, others: Sequence[Dataset]) -> NDArray[np.bool_]:
    """Tell which rows [N] of the pool stand in one of the others too."""
    fits = [fit for data in others if (fit := _features_of(data, pool)) is not None]
    if not fits:
        return np.zeros(len(pool), dtype=np.bool_)
    taken = np.concatenate([row_hashes(fit.features) for fit in fits])
    found: NDArray[np.bool_] = np.isin(row_hashes(pool.features), taken)
    return found


def _features_of(data: Dataset, pool: Dataset) -> Dataset | None:
    try:
        return fitted(data, pool.names, "the training")
    except Invalid:
        return None


def _drawn(
    pool: Dataset, wanted: int, policy: RehearsalPolicy, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the places of ``wanted`` rows, or of all there are."""
    places = np.arange(len(pool), dtype=np.int64)
    if not policy.balanced:
        return np.sort(random.permutation(places)[:wanted])
    labels = np.asarray([str(label) for label in _labels(pool)])
    classes = np.unique(labels)
    chosen: list[NDArray[np.int64]] = []
    left = wanted
    # The rarest first: what it cannot fill, the others may.
    parts = sorted((places[labels == name] for name in classes), key=len)
    for i, part in enumerate(parts):
        share = left // (len(parts) - i)
        chosen.append(random.permutation(part)[:share])
        left -= len(chosen[-1])
    return np.sort(np.concatenate(chosen)) if chosen else places[:0]


def _labels(pool: Dataset) -> NDArray[np.generic]:
    labels = pool.labels
    assert labels is not None  # only labelled datasets are drawn from
    return labels
