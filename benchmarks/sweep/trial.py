"""One estimator: does plain skl2onnx agree with it, and does our release?

Plain skl2onnx is what its own documentation shows: ``to_onnx`` with defaults, run by onnxruntime.
Our release is made on one half of the held-out rows and judged here, through the device's runtime,
on the other half, so that a release that is silently wrong is found by rows that it did not see.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.sweep.cases import HELD, Case, case_of
from converters import ConversionError, convert
from converters.certification import parity
from converters.certification.parity import Tolerances
from converters.certification.parity_gate import answers_of
from converters.estimators.fitted_estimator import FittedEstimator, inspect_estimator
from converters.samples.rows import Rows, rows_of
from edge_sdk.model.release import Feed

Plain = Literal["in parity", "differs", "does not run", "not converted"]
Ours = Literal["in parity", "refused", "WRONG"]
FLIPS, LIMIT = 0.0, 1e-3
"""Parity: no other label, nothing further off than a thousandth of the spread."""


@dataclass(frozen=True)
class Verdict:
    """Result of one estimator's trial; ``plain_note`` and ``note`` say why."""

    name: str
    plain: Plain
    ours: Ours
    plain_note: str = ""
    note: str = ""


def trial(name: str, keep: Callable[[Verdict], None] = lambda verdict: None) -> Verdict:
    """Fit, convert both ways, compare; ours is kept before skl2onnx has its turn.

    A peer that never ends is not counted as our refusal.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = case_of(name)
        ours, note = _ours(case)
        keep(Verdict(name, "not converted", ours, "took too long", _short(note)))
        plain, plain_note = _plain(case)
    return Verdict(name, plain, ours, _short(plain_note), _short(note))


def _short(note: str) -> str:
    return " ".join(note.split(". What to do")[0].split())[:300]


def _plain(case: Case) -> tuple[Plain, str]:
    import onnxruntime
    from skl2onnx import to_onnx

    onnxruntime.set_default_logger_severity(4)
    try:
        sample = case.X[:1].astype(np.float32) if isinstance(case.X, np.ndarray) else case.X[:1]
        types = None if isinstance(case.X, np.ndarray) else _text_input()
        model = to_onnx(case.model, None if types else sample, initial_types=types)
    except Exception as error:
        return "not converted", _first_line(error)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        outputs = session.run(None, _plain_feed(session, case.X))
    except Exception as error:
        return "does not run", _first_line(error)
    try:
        return _plain_compared(case, outputs)
    except Exception as error:
        return "differs", _first_line(error)


def _text_input() -> Any:
    from skl2onnx.common.data_types import StringTensorType

    return [("X", StringTensorType([None, 1]))]


def _plain_feed(session: Any, X: Any) -> dict[str, Any]:
    name = session.get_inputs()[0].name
    if isinstance(X, np.ndarray):
        return {name: X.astype(np.float32)}
    return {name: np.array(X, dtype=object)[:, None]}


def _plain_compared(case: Case, outputs: list[Any]) -> tuple[Plain, str]:
    original = inspect_estimator(case.model)
    expected = original.answers(rows_of(case.X, original.names))
    by_name = {}
    for (name, truth), array in zip(expected.items(), outputs, strict=False):
        if isinstance(array, list) and array and isinstance(array[0], dict):
            array = np.array([list(row.values()) for row in array])
        elif isinstance(array, list):
            array = np.hstack(array)
        by_name[name] = np.asarray(array).reshape(truth.shape)
    if len(by_name) < len(expected) and "value" not in expected:
        return "differs", f"gives {len(outputs)} outputs, expected {list(expected)}"
    expected_here = {name: truth for name, truth in expected.items() if name in by_name}
    return (
        ("in parity", "")
        if _agree(by_name, expected_here)
        else ("differs", _difference(by_name, expected_here))
    )


def _agree(outputs: Feed, expected: Feed) -> bool:
    difference = parity.compare(outputs, expected)
    return difference.label_flips <= FLIPS and difference.maximum <= LIMIT


def _difference(outputs: Feed, expected: Feed) -> str:
    difference = parity.compare(outputs, expected)
    return f"{difference.label_flips:.1%} other labels, off by {difference.maximum:.2g}"


def _ours(case: Case) -> tuple[Ours, str]:
    half = HELD // 2
    y = None if case.y is None else case.y[:half]
    with tempfile.TemporaryDirectory() as folder:
        try:
            release = convert(
                case.model,
                case.X[:half],
                y,
                name="sweep",
                out=Path(folder) / "r",
                variants=["float32"],
                tolerances=Tolerances(),
            )
        except ConversionError as error:
            return "refused", str(error)
        original = inspect_estimator(case.model)
        fresh = rows_of(case.X[half:], original.names, width=original.width)
        outputs = answers_of(release, fresh)
        return _judged(original, fresh, outputs)


def _judged(original: FittedEstimator, fresh: Rows, outputs: Feed) -> tuple[Ours, str]:
    expected = original.answers(fresh)
    return (
        ("in parity", "")
        if _agree(outputs, expected)
        else ("WRONG", _difference(outputs, expected))
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:200]
