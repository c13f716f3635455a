"""Conversion of models: bytes, flips and speed against a plain export and the library.

Invariants:

* Every file answers in onnxruntime with one thread and plain ``session.run``; the library answers
  the same rows with its own ``predict_proba``, with one thread too: more only wait for each other.
* The plain export is what the documentation of skl2onnx shows, without the ZipMap that would cost
  it more; CatBoost's is its own. Other libraries have none here.
* All of a case take turns in each round.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from converters import convert
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Candidate, Effort, Rounds, calls_in, interleave
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.runtime import session_options

BATCH: Final = 500
OURS, PLAIN, LIBRARY = "our file", "plain export", "library"
Tell = Callable[[str], None]

TINY: Final = Goal(4, "bytes, share of the plain export", 0.10, "x")
SMALL: Final = Goal(4, "bytes, share of the plain export", 1.0, "x")
STORED: Final = Goal(4, "bytes, share of the plain export", 0.28, "x")
FLIPS: Final = Goal(4, "labels that differ from the library's", 0.0, "rows")
FASTER: Final = Goal(3, "one row, how much faster than the library", 300.0, "x", at_least=True)
QUICKER: Final = Goal(3, "one row, how much faster than the library", 15.0, "x", at_least=True)
NO_SLOWER: Final = Goal(4, "one row, against the plain export", 1.05, "x")
NO_SLOWER_BATCH: Final = Goal(4, f"{BATCH} rows, against the plain export", 1.05, "x")
SECONDS: Final = Goal(5, "conversion, certificate included", 30.0, "s")


@dataclass(frozen=True)
class Case:
    """A model and what is asked of it; ``bytes`` and ``speed`` are goals, if there are any.

    A plain export that answers wrongly is no peer in speed.
    """

    make: Callable[[], Any]
    data: Callable[[], tuple[Any, Any]]
    bytes: Goal | None = SMALL
    speed: Goal | None = None


def digits() -> tuple[Any, Any]:
    """1,797 handwritten digits, 64 features, ten classes."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


def two_classes() -> tuple[Any, Any]:
    """30 features, two classes."""
    from sklearn.datasets import make_classification

    X, y = make_classification(3_000, 30, n_informative=12, random_state=0)
    return X.astype(np.float32), y


def holed() -> tuple[Any, Any]:
    """The same with a tenth of all values missing."""
    X, y = two_classes()
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return X, y


def _sklearn(module: str, name: str, *arguments: Any, **keywords: Any) -> Callable[[], Any]:
    def make() -> Any:
        import importlib

        return getattr(importlib.import_module(module), name)(*arguments, **keywords)

    return make


_FOREST: Final = ("sklearn.ensemble", "RandomForestClassifier", 100)
_HISTOGRAM: Final = ("sklearn.ensemble", "HistGradientBoostingClassifier")

CASES: Final[dict[str, Case]] = {
    "forest of 100, digits": Case(_sklearn(*_FOREST, random_state=0), digits, TINY, FASTER),
    "shallow forest of 100, digits": Case(
        _sklearn(*_FOREST, max_depth=8, random_state=0), digits, speed=FASTER
    ),
    "forest of 100, two classes": Case(
        _sklearn(*_FOREST, random_state=0), two_classes, speed=FASTER
    ),
    "forest of 100, values missing": Case(_sklearn(*_FOREST, random_state=0), holed),
    "histogram boosting, two classes": Case(_sklearn(*_HISTOGRAM), two_classes, speed=FASTER),
    "histogram boosting, digits": Case(_sklearn(*_HISTOGRAM), digits, speed=FASTER),
    "gradient boosting, two classes": Case(
        _sklearn("sklearn.ensemble", "GradientBoostingClassifier", random_state=0), two_classes
    ),
    "LightGBM, two classes": Case(
        _sklearn("lightgbm", "LGBMClassifier", verbose=-1, n_jobs=1), two_classes, None
    ),
    "XGBoost, two classes": Case(
        _sklearn("xgboost", "XGBClassifier", n_jobs=1), two_classes, None
    ),
    "CatBoost, two classes": Case(
        _sklearn("catboost", "CatBoostClassifier", iterations=200, verbose=0, thread_count=1,
                 allow_writing_files=False), two_classes,
    ),
    "logistic regression, two classes": Case(
        _sklearn("sklearn.linear_model", "LogisticRegression", max_iter=500),
        two_classes, None, QUICKER,
    ),
    "MLP (128, 64), digits": Case(
        _sklearn("sklearn.neural_network", "MLPClassifier", (128, 64), random_state=0),
        digits, STORED, QUICKER,
    ),
}  # fmt: skip


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure all cases.

    Args:
        folder: for releases and plain exports.
        effort: rounds and seconds a turn.
        tell: called with the name of each case.
    """
    findings = Findings()
    for name, case in CASES.items():
        tell(name)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            findings += _case(name, case, folder, effort)
    return findings


def _case(name: str, case: Case, folder: Path, effort: Effort) -> Findings:
    X, y = case.data()
    model = case.make().fit(X[: len(X) // 2], y[: len(X) // 2])
    rows = X[len(X) // 2 :]
    started = time.perf_counter()
    release = convert(model, rows, y[len(X) // 2 :], name="m", out=folder / name)
    seconds = time.perf_counter() - started
    plain = plain_export(model, rows, folder)
    files = {OURS: release.model_path, **({PLAIN: plain} if plain else {})}
    single, batch = _turns(name, model, files, rows, effort)
    claims = [
        *_sizes(name, case, files),
        GoalRow.of(FLIPS, flips(release.model_path, model, rows), name),
        *_speeds(
            name, case, single, batch, fair=plain is not None and not flips(plain, model, rows)
        ),
        GoalRow.of(SECONDS, seconds, name),
    ]
    facts = {f"{name}: {file}, bytes": float(p.stat().st_size) for file, p in files.items()}
    if plain:
        facts[f"{name}: {PLAIN}, labels that differ"] = flips(plain, model, rows)
    note = f"{name}: chosen {release.manifest.variant}"
    return Findings(single.timings + batch.timings, tuple(claims), facts, (note,))


def plain_export(model: Any, rows: NDArray[np.float32], folder: Path) -> Path | None:
    """Write the file of the library's usual exporter; ``None`` if there is none.

    Args:
        model: fitted.
        rows: of which the first tells the input's shape, [N, features].
        folder: for the file.
    """
    path = folder / "plain.onnx"
    path.unlink(missing_ok=True)
    library = type(model).__module__.split(".")[0]
    if library == "catboost":
        model.save_model(str(path), format="onnx")
    elif library == "sklearn":
        from skl2onnx import to_onnx

        proto = to_onnx(model, rows[:1], options={id(model): {"zipmap": False}})
        path.write_bytes(proto.SerializeToString())
    else:
        return None
    return path


def flips(path: Path, model: Any, rows: NDArray[np.float32]) -> int:
    """Count the rows whose label in a file is not the library's.

    Args:
        path: an ONNX file whose first output is the label.
        model: fitted.
        rows: [N, features].
    """
    labels = _asking(path)(rows)[0]
    return int((np.asarray(labels) != np.asarray(model.predict(rows)).ravel()).sum())


def _asking(path: Path) -> Callable[[Any], Sequence[Any]]:
    """Return ``session.run`` of a file for rows [N, features]."""
    options = session_options(RuntimeOptions())
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def ask(rows: Any) -> Sequence[Any]:
        answers: Sequence[Any] = session.run(None, {name: rows})
        return answers

    return ask


def _turns(
    name: str, model: Any, files: dict[str, Path], rows: NDArray[np.float32], effort: Effort
) -> tuple[Rounds, Rounds]:
    """Time one row, and a batch, with every file and the library."""
    by_name = {
        **{file: _asking(path) for file, path in files.items()},
        LIBRARY: model.predict_proba,
    }
    rounds = []
    for what, inputs in (("one row", _ones(rows)), (f"{BATCH} rows", [rows[:BATCH]])):
        candidates = [Candidate(who, ask, inputs) for who, ask in by_name.items()]
        calls = min(calls_in(effort.turn_seconds, candidates), 100)
        turns = min(effort.rounds, 7)
        rounds.append(interleave(f"{name}, {what}", candidates, turns, calls))
    return rounds[0], rounds[1]


def _ones(rows: NDArray[np.float32]) -> list[Any]:
    return [rows[i : i + 1] for i in range(min(200, len(rows)))]


def _sizes(name: str, case: Case, files: dict[str, Path]) -> list[GoalRow]:
    if PLAIN not in files or case.bytes is None:
        return []
    share = files[OURS].stat().st_size / files[PLAIN].stat().st_size
    return [GoalRow.of(case.bytes, share, name)]


def _speeds(name: str, case: Case, single: Rounds, batch: Rounds, *, fair: bool) -> list[GoalRow]:
    faster = 1 / single.ratio(OURS, LIBRARY)
    shown = GoalRow(3, f"{QUICKER.what}, {name}", round(faster, 1), "x")
    claims = [shown if case.speed is None else GoalRow.of(case.speed, faster, name)]
    if fair:
        claims.append(GoalRow.of(NO_SLOWER, single.ratio(OURS, PLAIN), name))
        claims.append(GoalRow.of(NO_SLOWER_BATCH, batch.ratio(OURS, PLAIN), name))
    return claims
