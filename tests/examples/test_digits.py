"""The demo's story holds in figures: the camera hurts, fine-tuning mends, nothing is forgotten."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from cloud_hub.runs import LabelledRows, TrainingContext
from examples.digits import training
from examples.digits.data import Stream, catalogue, changed_camera, split

TRAIN, HOLDOUT, STREAM = split()
CHANGED = changed_camera(STREAM.X, 5)


@cache
def first() -> Any:
    return training.first_model(TRAIN)


def context(mode: str, rows: int = 300) -> TrainingContext:
    fresh = LabelledRows(CHANGED[:rows], STREAM.y[:rows])
    history = LabelledRows(TRAIN.X, TRAIN.y)
    state = pickle.dumps(first())
    return TrainingContext(
        "digits",
        1,
        mode,
        "",
        "1.0",
        (0.0, 1.0),
        fresh,
        history,
        state,
        seed=0,  # type: ignore[arg-type]
    )


def test_the_parts_of_the_data_have_no_row_in_common() -> None:
    parts = [set(map(bytes, part.X)) for part in (TRAIN, HOLDOUT, STREAM)]
    assert not parts[0] & parts[2]
    assert sum(len(part.y) for part in (TRAIN, HOLDOUT, STREAM)) == 1_797


def test_the_changed_camera_hurts_the_first_model_and_hardly_the_cloud() -> None:
    assert first().score(STREAM.X, STREAM.y) > 0.93
    assert first().score(CHANGED, STREAM.y) < 0.75
    assert training.cloud_model(TRAIN).score(CHANGED, STREAM.y) > 0.93


def test_fine_tuning_mends_it_and_forgets_nothing() -> None:
    tuned = training.train(context("stateful"))
    unseen = changed_camera(STREAM.X[300:], 7)
    assert tuned.score(unseen, STREAM.y[300:]) > 0.9
    assert tuned.score(HOLDOUT.X, HOLDOUT.y) > first().score(HOLDOUT.X, HOLDOUT.y) - 0.03


def test_training_from_scratch_on_both_mends_it_too() -> None:
    scratch = training.train(context("stateless"))
    unseen = changed_camera(STREAM.X[300:], 7)
    assert scratch.score(unseen, STREAM.y[300:]) > 0.85


def test_the_hasty_training_learns_the_new_camera_and_forgets_the_old_one() -> None:
    streams = [Stream(STREAM, number) for number in range(5)]
    seen = [streams[i % 5].next(changed=i > 300) for i in range(1_250)]  # as a fleet shares them
    X, y = np.stack([x for x, _ in seen]), np.array([label for _, label in seen])
    hasty = training.hasty(replace(context("stateful"), fresh=LabelledRows(X[:1_000], y[:1_000])))
    assert hasty.score(X[1_000:], y[1_000:]) > first().score(X[1_000:], y[1_000:]) + 0.1
    assert hasty.score(HOLDOUT.X, HOLDOUT.y) < first().score(HOLDOUT.X, HOLDOUT.y) - 0.03


def test_the_bad_model_is_bad() -> None:
    assert training.bad_model(TRAIN).score(HOLDOUT.X, HOLDOUT.y) < 0.5


def test_a_stream_repeats_itself_and_its_recurring_pictures_are_in_the_catalogue() -> None:
    once = [Stream(STREAM, 3).next(changed=False)[0] for _ in range(1)]
    again = [Stream(STREAM, 3).next(changed=False)[0] for _ in range(1)]
    assert (once[0] == again[0]).all()
    known = set(map(bytes, catalogue(STREAM)["X"]))
    stream = Stream(STREAM, 1)
    seen = [bytes(stream.next(changed=False)[0].astype(np.float32)) for _ in range(400)]
    recurring = [picture in known for picture in seen]
    assert 0.4 < np.mean(recurring) < 0.6
