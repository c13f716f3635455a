"""A model of trees: the ensemble, and the steps from its sums to answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from converters.trees.ensemble import Ensemble, Floats

Link = Literal["identity", "sigmoid", "softmax", "exp"]


@dataclass(frozen=True)
class TreeModel:
    """A model of trees.

    Answers are ``link(scale * (sum + base))``; with ``average`` the sum is divided by the number of
    trees as the operator does it, after adding up: equal votes stay equal.

    Attributes:
        ensemble: the trees.
        base: added to the sums, [targets].
        average: whether the trees vote.
        scale: factor of the sums before a sigmoid.
        link: from sums to answers; for classes, ``sigmoid`` of one target is that of two classes.
        classes: how many there are; 0 for a regressor.
        absent: lowest and highest number that counts as missing.
        whole: columns of categories, whose numbers are rounded first.
        rounding: direction: down, or towards zero.
    """

    ensemble: Ensemble
    base: Floats
    average: bool = False
    scale: float = 1.0
    link: Link = "identity"
    classes: int = 0
    absent: tuple[float, float] | None = None
    whole: tuple[int, ...] = ()
    rounding: Literal["floor", "trunc"] = "floor"

    def raw(self, X: NDArray[np.floating[Any]]) -> Floats:
        """Return the inputs of the link for rows [N, width]: float64, [N, targets]."""
        sums = self.ensemble.sums(self._prepared(X))
        return (sums / len(self.ensemble.roots) if self.average else sums) + self.base

    def _prepared(self, X: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        rows = X.copy()
        cut = np.floor if self.rounding == "floor" else np.trunc
        rows[:, self.whole] = cut(rows[:, self.whole])
        if self.absent is not None:
            rows[(rows >= self.absent[0]) & (rows <= self.absent[1])] = np.nan
        return rows

    def answers(self, X: NDArray[np.floating[Any]]) -> Floats:
        """Return probabilities [N, classes], or values [N, targets]: the reference."""
        raw = self.raw(X) * self.scale
        with np.errstate(over="ignore"):
            if self.link == "sigmoid":
                signed = np.hstack([-raw, raw]) if self.two_sided else raw
                return 1 / (1 + np.exp(-signed))
            if self.link == "softmax":
                # Less the maximum, so that no exponential overflows.
                powers = np.exp(raw - raw.max(axis=1, keepdims=True))
                return np.asarray(powers / powers.sum(axis=1, keepdims=True))
            if self.link == "exp":
                return np.asarray(np.exp(raw))
        return np.hstack([1 - raw, raw]) if self.two_sided else raw

    @property
    def two_sided(self) -> bool:
        """True if one target is the score of the second of two classes."""
        return self.classes == 2 and self.ensemble.targets == 1


def base_of(values: Any, targets: int) -> Floats:
    """Return base values, one for each target."""
    return np.broadcast_to(np.asarray(values, np.float64).ravel(), (targets,)).copy()
