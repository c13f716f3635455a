"""More bottles like this one: a ranking task made of scikit-learn's bundled wine data.

The data are real: 178 wines of three cultivars, 13 chemical measurements each (Aeberhard and
Forina, UCI Machine Learning Repository, 1991). The task made of them is our own: somebody likes one
bottle, and the others are ranked by how likely they come from the same cultivar. That is what
counts as relevant here; no person was asked what they like.

A row for the model describes a pair: how far apart the two bottles are in each measurement. Bottles
that the models were trained on are never recommended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Rows = NDArray[np.float32]
AT_THE_TABLE = [0, 10]
"""Alcohol and hue: what the label and a glass tell, without a laboratory."""


@dataclass(frozen=True)
class Cellar:
    """Bottles by measurement, in units of their spread, [bottles, 13], and their cultivars."""

    measurements: NDArray[np.float64]
    cultivars: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cultivars)

    def pairs_with(self, liked: int) -> tuple[list[int], Rows]:
        """Every other bottle, and a row for each."""
        others = [bottle for bottle in range(len(self)) if bottle != liked]
        apart = np.abs(self.measurements[others] - self.measurements[liked])
        return others, apart.astype(np.float32)

    def alike(self, liked: int, bottle: int) -> bool:
        """Whether two bottles are of one cultivar."""
        return bool(self.cultivars[liked] == self.cultivars[bottle])


def cellars() -> tuple[Cellar, Cellar]:
    """Bottles to learn from, and others to recommend."""
    X, y = load_wine(return_X_y=True)
    X, other_X, y, other_y = train_test_split(X, y, test_size=0.5, random_state=0, stratify=y)
    scale = StandardScaler().fit(X)
    return Cellar(scale.transform(X), y), Cellar(scale.transform(other_X), other_y)


def training_pairs(cellar: Cellar) -> tuple[Rows, NDArray[np.int64]]:
    """A row for every two bottles, and whether they are alike."""
    rows, alike = [], []
    for liked in range(len(cellar)):
        others, apart = cellar.pairs_with(liked)
        rows.append(apart)
        alike += [int(cellar.alike(liked, other)) for other in others]
    return np.concatenate(rows), np.array(alike)


def versions(cellar: Cellar) -> dict[str, Any]:
    """Two fitted models: 1.0 looks at two measurements, 1.1 at all measurements."""
    X, y = training_pairs(cellar)
    some = make_column_transformer(("passthrough", AT_THE_TABLE))
    return {
        "1.0": make_pipeline(some, LogisticRegression()).fit(X, y),
        "1.1": LogisticRegression(max_iter=1_000).fit(X, y),
    }
