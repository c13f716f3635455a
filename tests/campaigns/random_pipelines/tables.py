"""Tables as people have them: sensors, prices, counts, holes, categories, dates, documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TRAIN, CHECK, FRESH = 200, 100, 120
ROWS = TRAIN + CHECK + FRESH

WORDS = (
    "great",
    "Grüße",
    "slow",
    "late",
    "東京",
    "re-use",
    "don't",
    "x",
    "42",
    "Delivery",
    "never",
)
CITIES = ("Bern", "Zürich", "Genève", "東京", "Aarau")

KINDS = (
    "continuous",
    "decimals",
    "prices",
    "float32",
    "counts",
    "positive",
    "holes",
    "wide",
    "frame of numbers",
    "frame",
    "frame with holes",
    "frame of categories",
    "documents",
)


@dataclass(frozen=True)
class Table:
    """Rows and what is to be learnt from them.

    Attributes:
        kind: one of :data:`KINDS`.
        X: an array [ROWS, features], a DataFrame, or a list of documents.
        signal: a number that depends on the rows, [ROWS].
        numbers: names of the numeric columns of a DataFrame.
        texts: names of its columns of categories.
        holes: whether numbers are missing.
        positive: whether all numbers are above zero.
    """

    kind: str
    X: Any
    signal: NDArray[np.float64]
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    holes: bool = False
    positive: bool = False

    @property
    def framed(self) -> bool:
        """True if columns have names and types of their own."""
        return isinstance(self.X, pd.DataFrame)

    def part(self, begin: int, end: int) -> Any:
        """Return some of the rows."""
        return self.X.iloc[begin:end] if self.framed else self.X[begin:end]


def draw_table(random: np.random.Generator) -> Table:
    """Return a table of a random kind."""
    kind = str(random.choice(KINDS))
    if kind == "documents":
        return _documents(random)
    if kind.startswith("frame"):
        return _frame(random, kind)
    return _array(random, kind)


def _array(random: np.random.Generator, kind: str) -> Table:
    width = int(random.integers(20, 30) if kind == "wide" else random.integers(2, 9))
    Z = random.normal(size=(ROWS, width)) @ (
        np.eye(width) + 0.3 * random.normal(size=(width, width))
    )
    signal = _signal(random, Z)
    X = {
        "continuous": lambda: (
            Z * random.choice([1e-3, 1.0, 50.0, 1e4], width) + random.normal(0, 9, width)
        ),
        "decimals": lambda: np.round(Z * 5 + 20, int(random.integers(1, 3))),
        "prices": lambda: np.round(np.exp(Z * 0.5 + 6), 2),
        "float32": lambda: (Z * 3 + 1).astype(np.float32),
        "counts": lambda: random.poisson(np.exp(np.clip(Z, -2, 3))),
        "positive": lambda: np.exp(Z * 0.8),
        "holes": lambda: np.where(random.random(Z.shape) < 0.1, np.nan, np.round(Z * 7, 2)),
        "wide": lambda: Z,
    }[kind]()
    positive = kind in ("prices", "positive")
    return Table(kind, X, signal, holes=kind == "holes", positive=positive)


def _signal(random: np.random.Generator, Z: NDArray[np.float64]) -> NDArray[np.float64]:
    curve = np.sin(2 * Z[:, 0]) + Z[:, -1] + 0.5 * Z[:, 0] * Z[:, 1]
    return curve + random.normal(0, 0.4, len(Z))


def _frame(random: np.random.Generator, kind: str) -> Table:
    Z = random.normal(size=(ROWS, 4))
    city = random.choice(CITIES, ROWS, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    columns: dict[str, Any] = {
        "age": np.abs(Z[:, 0] * 15 + 45).round(1),
        "income": np.exp(Z[:, 1] + 9).round(2),
        "visits": random.poisson(np.exp(Z[:, 2] * 0.5 + 1)),
        "ratio": Z[:, 3],
    }
    numbers, texts = tuple(columns), ()
    if kind != "frame of numbers":
        texts = ("city", "plan")
        columns |= {
            "city": city.astype(object),
            "plan": random.choice(["basic", "plus", "pro"], ROWS),
        }
    frame = pd.DataFrame(columns)
    if kind == "frame of categories":
        frame = frame.astype({"city": "category", "plan": "category"})
    holes = kind == "frame with holes"
    if holes:
        frame.loc[random.random(ROWS) < 0.1, "age"] = np.nan
        frame.loc[random.random(ROWS) < 0.05, "income"] = np.nan
        frame.loc[random.random(ROWS) < 0.05, "city"] = np.nan
    if random.random() < 0.4:  # what tables have besides: nobody reads it
        frame["day"] = pd.date_range("2024-01-01", periods=ROWS, freq="h")
        frame["id"] = [f"c{i}" for i in range(ROWS)]
    signal = _signal(random, Z) + (city == "Zürich") * 1.5
    return Table(kind, frame, signal, numbers, texts, holes)


def _documents(random: np.random.Generator) -> Table:
    texts = [" ".join(random.choice(WORDS, random.integers(1, 9))) for _ in range(ROWS)]
    signal = np.array([t.count("great") - t.count("slow") + 0.2 * len(t.split()) for t in texts])
    return Table("documents", texts, signal + random.normal(0, 0.4, ROWS))


def draw_target(random: np.random.Generator, table: Table, task: str) -> Any:
    """Return what a model of this task learns, [ROWS] or [ROWS, targets]; ``None`` for none."""
    s = table.signal
    if task in ("cluster", "outlier", "transform"):
        return None
    if task == "value":
        return [s, s * 40 + 1000, np.exp(s / 2), s.round(1)][int(random.integers(4))]
    if task == "values":
        return np.column_stack([s, -s + random.normal(0, 0.3, ROWS)])
    if task == "two":
        return (s > np.median(s)).astype(int)
    if task == "rare":
        return (s > np.quantile(s, 0.85)).astype(int)
    if task == "two texts":
        return np.where(s > np.median(s), "stays", "leaves")
    bins = np.digitize(s, np.quantile(s, [0.33, 0.7]))
    if task == "three":
        return bins + int(random.integers(0, 2))
    if task == "three texts":
        return np.array(["low", "mid", "top"])[bins]
    return np.column_stack([s > np.median(s), s > np.quantile(s, 0.7)]).astype(
        int
    )  # several labels
