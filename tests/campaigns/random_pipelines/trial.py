"""One random pipeline: drawn, fitted, converted, and asked beside itself on rows of the user's own.

The rows are the user's, in the user's dtype: those that it was trained on, those that it was
certified on and fresh ones. What is compared is what :class:`edge_sdk.EdgeDevice` would run.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline, make_pipeline

from converters import ConversionError, convert
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from tests.campaigns.random_pipelines.models import TASKS, draw_model, native
from tests.campaigns.random_pipelines.steps import R, draw_steps, one
from tests.campaigns.random_pipelines.tables import (
    CHECK,
    ROWS,
    TRAIN,
    Table,
    draw_table,
    draw_target,
)

Verdict = Literal["in parity", "refused", "silently different", "foreign exception"]
FAR, TIE = 1e-3, 1e-5
"""Numbers may be off by a thousandth of their spread; labels only where the model is in doubt."""

TRIES = 50


@dataclass(frozen=True)
class Case:
    """A fitted pipeline with its rows and targets."""

    name: str
    model: Any
    table: Table
    target: Any


@dataclass(frozen=True)
class Result:
    """What became of one seed."""

    seed: int
    name: str
    verdict: Verdict
    note: str = ""
    seconds: float = 0.0


def draw_case(seed: int) -> Case:
    """Return the fitted pipeline of a seed; what cannot be fitted is drawn again."""
    random = np.random.default_rng(seed)
    for _ in range(TRIES):
        table, task = draw_table(random), one(random, *TASKS)
        target = draw_target(random, table, task)
        name, model = _draw_pipeline(random, table, task)
        if model is None:
            continue
        try:
            model.fit(table.part(0, TRAIN), None if target is None else target[:TRAIN])
            answers = _answers(model, table.part(0, ROWS))
        except Exception:  # estimators refuse data in many ways; no model, no trial
            continue
        if all(np.isfinite(a).all() for a in answers.values() if a.dtype.kind == "f"):
            return Case(f"{table.kind}: {name}", model, table, target)
    raise RuntimeError(f"seed {seed}: nothing could be fitted in {TRIES} tries")


def _draw_pipeline(random: R, table: Table, task: str) -> tuple[str, Any]:
    as_it_is = native(random, table, task)
    if as_it_is is not None:
        return as_it_is
    steps = draw_steps(random, table, target=task in TASKS[:18])
    name, model = draw_model(random, task)
    names = [*map(_named, steps), name]
    if model is not None:
        steps = [*steps, model]
    if not steps:
        return "nothing", None
    made: Pipeline | Any = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    return " > ".join(names), made


def _named(step: Any) -> str:
    """Return the name of a transformer, and those of the transformers inside it."""
    inner = getattr(
        step, "transformers", getattr(step, "transformer_list", getattr(step, "steps", ()))
    )
    inside = [_named(part[1]) for part in inner]
    name = step if isinstance(step, str) else type(step).__name__
    return f"{name}({', '.join(inside)})" if inside else name


def trial(seed: int) -> Result:
    """Draw, convert and compare one pipeline."""
    started = time.monotonic()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        case = draw_case(seed)
        verdict, note = _outcome(case, Path(folder) / "release")
    note = " ".join(note.split())[:400]
    return Result(seed, case.name, verdict, note, round(time.monotonic() - started, 1))


def _outcome(case: Case, out: Path) -> tuple[Verdict, str]:
    table, y, end = case.table, case.target, TRAIN + CHECK
    targets = (None, None) if y is None else (y[:TRAIN], y[TRAIN:end])
    try:
        release = convert(
            case.model,
            table.part(TRAIN, end),
            targets[1],
            name="m",
            out=out,
            data=(table.part(0, TRAIN), targets[0]),
            variants=["float32"],
        )
    except ConversionError as error:
        return "refused", str(error)
    except Exception as error:
        return "foreign exception", f"{type(error).__name__}: {error}"
    rows = table.part(0, ROWS)
    try:
        found = _device_answers(release, rows)
    except Exception as error:  # a row that the model takes and the device does not
        return "foreign exception", f"on the device: {type(error).__name__}: {error}"
    note = _difference(found, _answers(case.model, rows))
    return ("silently different", note) if note else ("in parity", "")


def _answers(model: Any, rows: Any) -> Feed:
    """Return what the pipeline itself says, by the names that outputs of releases have."""
    if not hasattr(model, "predict"):
        return {"transformed": _dense(model.transform(rows))}
    labels = np.asarray(model.predict(rows))
    if hasattr(model, "score_samples") and not hasattr(model, "predict_proba"):
        return {"label": labels, "value": np.asarray(model.decision_function(rows))}
    if is_regressor(model):
        return {"value": labels}
    outputs: Feed = {"labels" if labels.ndim == 2 and labels.shape[1] > 1 else "label": labels}
    if hasattr(model, "predict_proba"):
        shares = model.predict_proba(rows)
        outputs["probabilities"] = np.hstack(shares) if isinstance(shares, list) else shares
    return outputs


def _dense(values: Any) -> NDArray[Any]:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def _device_answers(release: Release, rows: Any) -> Feed:
    signature = release.manifest.signature
    schema = InputSchema(signature, missing=release.manifest.training.get("missing") == "allowed")
    names = [column.name for column in signature.columns]
    if isinstance(rows, list):  # documents
        rows = {names[0]: rows}
    elif hasattr(rows, "columns"):  # an app sends what the release asks for
        rows = rows[names]
    return Model.load(release).run(schema.batch(rows))


def _difference(found: Feed, expected: Feed) -> str:
    """Return how the answers differ; empty if they do not."""
    doubt = _in_doubt(expected)
    for name, truth in expected.items():
        if name not in found:
            return f"gives {list(found)}, expected {list(expected)}"
        answer = found[name]
        if truth.dtype.kind != "f" or name.startswith("label"):
            other = _texts(answer) != _texts(truth)
            other = other.reshape(len(truth), -1).any(axis=1) & ~doubt
            if other.any():
                return (
                    f"{name}: {int(other.sum())} of {len(truth)} rows, first {int(other.argmax())}"
                )
            continue
        numbers, wanted = (a.reshape(len(truth), -1).astype(np.float64) for a in (answer, truth))
        spread = 1.0 if name == "probabilities" else _spread(wanted)
        off = (np.abs(numbers - wanted) / spread).max(axis=1)
        bad = ~(off <= FAR)
        if bad.any():
            return f"{name}: {int(bad.sum())} of {len(truth)} rows, by up to {np.nanmax(off):.3g}"
    return ""


def _spread(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviation of each column; a hundredth of all, or of the number, at the least."""
    least = np.maximum(wanted.std(axis=0), 0.01 * wanted.std())
    size: NDArray[np.float64] = np.maximum(np.maximum(least[None], 0.01 * np.abs(wanted)), 1e-12)
    return size


def _texts(labels: NDArray[Any]) -> NDArray[Any]:
    flat = labels.reshape(len(labels), -1)
    return (flat.astype(np.int64) if flat.dtype.kind in "fb" else flat).astype(str)


def _in_doubt(expected: Feed) -> NDArray[np.bool_]:
    """Return rows whose label hangs on a rounding: two classes are as good as equally likely."""
    count = len(next(iter(expected.values())))
    shares, value = expected.get("probabilities"), expected.get("value")
    if "label" in expected and shares is not None and shares.shape[1] > 1:
        top = np.sort(shares, axis=1)
        return np.asarray(top[:, -1] - top[:, -2] <= TIE)
    if "label" in expected and value is not None:
        return np.asarray(np.abs(value.reshape(count)) <= TIE * value.std())
    return np.zeros(count, dtype=bool)
