"""Batches: the model answers, or a pack some rows and the model the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.prediction import BatchPrediction
from edge_sdk.model.session import row_count, take_rows

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.model.outputs import Answers
    from edge_sdk.model.release import Feed
    from edge_sdk.model.session import Model, Outputs
    from edge_sdk.packs.reader import Pack

Stored = Mapping[int, Mapping[str, NDArray[Any]]]
"""Outputs that a pack holds, by the number of the row."""


def answered(
    feed: Feed, answers: Answers, model: Model, pack: Pack | None
) -> tuple[BatchPrediction, Outputs]:
    """Return the answers to a batch, and the model's outputs for the rows that it was asked.

    Args:
        feed: tensors of N rows.
        answers: reader of the outputs.
        model: of the release.
        pack: asked first; ``None`` for none.

    Raises:
        ReleaseError: the model failed.
    """
    signature = model.manifest.signature
    count = row_count(feed, signature)
    stored: Stored = {}
    if pack is not None and signature.columns:
        stored = stored_rows(pack, signature, feed, set(answers.batch_outputs))
    if not stored:
        outputs = model.run(feed, answers.needed)
        return answers.batch(outputs, count), outputs
    known = np.zeros(count, bool)
    known[list(stored)] = True
    asked = np.flatnonzero(~known)
    if not len(asked):
        return answers.mixed(_joined(answers, stored, known, None), known), {}
    outputs = model.run(take_rows(feed, asked, signature), answers.needed)
    batch = answers.batch(outputs, len(asked))
    return answers.mixed(_joined(answers, stored, known, batch), known), outputs


def stored_rows(pack: Pack, signature: Signature, feed: Feed, names: set[str]) -> Stored:
    """Return what the pack holds of the rows of checked tensors.

    Args:
        pack: of the release.
        signature: of its inputs.
        feed: tensors of N rows.
        names: outputs that an answer needs; an entry without one of them is none.
    """
    canonicaliser, found = Canonicaliser(signature), {}
    for i in range(row_count(feed, signature)):
        key = canonicaliser.feed_key(feed, i)
        stored = pack.get(key) if key is not None else None
        if stored is not None and names <= stored.keys():
            found[i] = stored
    return found


def _joined(
    answers: Answers, stored: Stored, known: NDArray[np.bool_], batch: BatchPrediction | None
) -> dict[str, NDArray[Any]]:
    """Return the outputs of N rows: the ``known`` ones as stored, the others of ``batch``."""
    whole = {}
    for name in answers.batch_outputs:
        values = np.array([answers.stored_value(name, each) for each in stored.values()])
        if batch is None:
            whole[name] = values
            continue
        column = batch.outputs[name]
        joined = np.empty((len(known), *column.shape[1:]), column.dtype)
        joined[known], joined[~known] = values.astype(column.dtype, copy=False), column
        whole[name] = joined
    return whole
