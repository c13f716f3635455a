"""Runs two releases on rows: ``python -m cloud_hub.runs.evaluation`` in a folder of a worker.

A model that a run made is foreign until devices have tried it: a file that breaks the runtime which
reads it must do so where there are no keys.
"""

from __future__ import annotations

import io
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import columns_for
from cloud_hub.data.npz import check_arrays
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.isolation.handback import opened
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.runs.answers import ReleaseAnswers
from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.contract.manifest import Label
from edge_sdk.model.release import Feed, Release, save_arrays
from edge_sdk.model.schema import InputSchema
from edge_sdk.system.files import write_atomic

if TYPE_CHECKING:
    from cloud_hub.isolation.workers import Workers

ROUNDS: Final = 200
"""Predictions of one row by each model, to compare latency."""

LIMITS: Final = ProcessLimits(120.0, 4_096)
"""The hub's loop waits for it, so that a model that never ends must not keep it long."""

ANSWERS: Final = "answers.npz"
ANSWER_BYTES: Final = 1 << 30
CLASSES: Final = 1_000
TIMED: Final = "timed"
PARTS: Final = ("loss", "probabilities", "truth")


@dataclass(frozen=True)
class Evaluation:
    """Answers of a candidate and an incumbent to each set of rows, by name, and their seconds for
    one row, if they were timed.
    """

    answers: Mapping[str, tuple[ReleaseAnswers, ReleaseAnswers]]
    seconds: tuple[float, float] | None = None


def evaluate(
    candidate: Release, incumbent: Release, rows: Mapping[str, Dataset], timed: Dataset | None
) -> Evaluation:
    """Run both releases in this process.

    Args:
        candidate: release to be judged.
        incumbent: release that serves.
        rows: labelled rows by name.
        timed: rows of which the first is timed; ``None`` for no times.
    """
    pairs = {name: (answers(candidate, d), answers(incumbent, d)) for name, d in rows.items()}
    seconds = _in_turns([candidate, incumbent], timed) if timed is not None and len(timed) else None
    return Evaluation(pairs, seconds)


def evaluate_apart(
    workers: Workers,
    candidate: Release,
    incumbent: Release,
    rows: Mapping[str, Dataset],
    timed: Dataset | None,
) -> Evaluation:
    """Run both releases in a worker; see :func:`evaluate`.

    Raises:
        Invalid: it ended without answers, or with some that do not fit the rows.
    """
    work = workers.new_folder()
    try:
        for name, release in (("candidate", candidate), ("incumbent", incumbent)):
            shutil.copytree(release.folder, work / name)
        for name, data in {**rows, **({TIMED: timed} if timed is not None else {})}.items():
            data.write(work / f"{name}.parquet")
        log = work / "log.txt"
        process = workers.start(
            "cloud_hub.runs.evaluation", list(rows), work, log, LIMITS, foreign=True
        )
        process.wait()
        if process.isolation.refused:
            raise HubFault(f"gate: {process.isolation.refused}")
        with opened(work) as left:
            raw = left.read(ANSWERS, ANSWER_BYTES)
        if process.broke or raw is None:
            raise Invalid(f"gate: the candidate cannot be run; {process.ended()}")
        return _parsed(raw, rows)
    finally:
        workers.remove(work)


def answers(release: Release, data: Dataset) -> ReleaseAnswers:
    """Return the losses of a release on labelled rows, through the device's own runtime."""
    from edge_sdk.model.session import Model  # brings the runtime

    signature = release.manifest.signature
    outputs = Model.load(release).run(_batch(release, data))
    labels = data.labels
    assert labels is not None
    value, label = signature.output("value"), signature.output("label")
    if label is None and value is not None:
        predicted = outputs[value.name].reshape(len(data), -1)[:, 0].astype(np.float64)
        return ReleaseAnswers(np.abs(predicted - labels.astype(np.float64)))
    sets = signature.output("scores")
    if sets is not None:
        # A row is right where all its labels are: one loss a row, as the gate's tests need it.
        given = _sets(outputs[sets.name] >= signature.threshold, signature.classes)
        expected = [LabelSet.parse(str(text)) for text in labels]
        wrong = [a != b for a, b in zip(given, expected, strict=True)]
        return ReleaseAnswers(np.array(wrong, dtype=np.float64))
    assert label is not None
    truth = labels.astype(str)
    loss = (outputs[label.name].astype(str) != truth).astype(np.float64)
    scores = signature.output("probabilities")
    if scores is None:
        return ReleaseAnswers(loss)
    places = {str(name): i for i, name in enumerate(signature.classes)}
    # A label that the model does not know is -1: wrong, whatever the probabilities are.
    index = np.array([places.get(each, -1) for each in truth], dtype=np.int64)
    return ReleaseAnswers(loss, outputs[scores.name].astype(np.float64), index)


def _sets(given: NDArray[np.bool_], classes: Sequence[Label]) -> list[LabelSet]:
    """Return the labels that a table [N, classes] says each row has."""
    return [
        LabelSet.of(name for name, has in zip(classes, row, strict=True) if has)
        for row in given.tolist()
    ]


def _in_turns(releases: list[Release], data: Dataset) -> tuple[float, float]:
    """Median seconds that each release takes for one row, measured in turns."""
    from edge_sdk.model.session import Model  # brings the runtime

    models = [Model.load(release) for release in releases]
    first = data.take(np.arange(1))
    feeds = [_batch(release, first) for release in releases]
    seconds: list[list[float]] = [[] for _ in releases]
    # In turns: a machine that slows down meanwhile (heat, neighbours) slows both alike.
    for _ in range(ROUNDS):
        for i, (model, feed) in enumerate(zip(models, feeds, strict=True)):
            began = time.perf_counter()
            model.run(feed)
            seconds[i].append(time.perf_counter() - began)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _batch(release: Release, data: Dataset) -> Feed:
    manifest = release.manifest
    missing = manifest.training.get("missing") == "allowed"
    values = columns_for(data, manifest.signature.columns, manifest.version)
    return InputSchema(manifest.signature, missing=missing).batch(values)


def main(names: list[str]) -> None:
    """Evaluate the releases in the folders ``candidate`` and ``incumbent`` on the named rows."""
    folder = Path.cwd()
    timed = folder / f"{TIMED}.parquet"
    candidate = Release.open(folder / "candidate")
    candidate.golden()  # devices read it before they run anything
    done = evaluate(
        candidate,
        Release.open(folder / "incumbent"),
        {name: Dataset.read(folder / f"{name}.parquet") for name in names},
        Dataset.read(timed) if timed.exists() else None,
    )
    write_atomic(folder / ANSWERS, _as_arrays(done))


def _as_arrays(done: Evaluation) -> bytes:
    arrays: dict[str, Any] = {} if done.seconds is None else {"seconds": np.array(done.seconds)}
    for name, pair in done.answers.items():
        for i, side in enumerate(pair):
            for part in PARTS:
                value = getattr(side, part)
                if value is not None:
                    arrays[f"{name}.{i}.{part}"] = value
    return save_arrays(arrays)


def _parsed(raw: bytes, rows: Mapping[str, Dataset]) -> Evaluation:
    """Read what a worker answered; raises Invalid."""
    try:
        check_arrays(raw, _most_bytes(rows), ANSWERS)
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        pairs = {
            name: (_side(arrays, f"{name}.0", len(data)), _side(arrays, f"{name}.1", len(data)))
            for name, data in rows.items()
        }
        seconds = arrays.get("seconds")
        times = None if seconds is None else (float(seconds[0]), float(seconds[1]))
    except Exception as error:  # whatever a damaged archive makes NumPy raise
        raise Invalid(f"gate: the candidate's answers cannot be read; {error}") from error
    return Evaluation(pairs, times)


def _most_bytes(rows: Mapping[str, Dataset]) -> int:
    """Bytes of answers to these rows, of two releases of up to 1,000 classes each."""
    return (1 << 20) + sum(2 * 8 * (CLASSES + 2) * len(data) for data in rows.values())


def _side(arrays: Mapping[str, NDArray[Any]], name: str, count: int) -> ReleaseAnswers:
    loss = _numbers(arrays[f"{name}.loss"], (count,), np.float64)
    if f"{name}.probabilities" not in arrays:
        return ReleaseAnswers(loss)
    scores = arrays[f"{name}.probabilities"]
    scores = _numbers(scores, (count, scores.shape[1]), np.float64)
    truth = _numbers(arrays[f"{name}.truth"], (count,), np.int64)
    if count and (truth.min() < -1 or truth.max() >= scores.shape[1]):
        raise ValueError("truth: expected -1 or the index of a class")
    return ReleaseAnswers(loss, scores, truth)


def _numbers(array: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"expected {dtype.__name__} {shape}, got {array.dtype} {array.shape}")
    return array


if __name__ == "__main__":
    main(sys.argv[1:])
