"""River's online learners on the same basis: they learn the fleet's rows, then each unit's.

``python online_learners.py INPUT.npz OUTPUT.npz``: INPUT has ``fleet`` [N, d] and ``fleet_y`` [N],
``teach``, ``teach_y`` and ``teach_unit``, ``test``, ``test_y`` and ``test_unit`` likewise, and the
``counts`` of labels. OUTPUT has accuracies [units, counts] by learner.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import forest, linear_model, naive_bayes, optim

LEARNERS: dict[str, Callable[[], Any]] = {
    "softmax regression": lambda: linear_model.SoftmaxRegression(optimizer=optim.Adam(0.01)),
    "Gaussian naive Bayes": naive_bayes.GaussianNB,
    "adaptive random forest": lambda: forest.ARFClassifier(n_models=5, seed=1),
}
Pairs = Sequence[tuple[dict[int, float], int]]


def pairs(rows: NDArray[Any], labels: NDArray[Any]) -> Pairs:
    """Return rows [N, d] and labels [N] as river takes them."""
    dicts = [dict(enumerate(row)) for row in rows.tolist()]
    return list(zip(dicts, labels.tolist(), strict=True))


def accuracies(learner: Any, teach: Pairs, test: Pairs, counts: Sequence[int]) -> list[float]:
    """Return the accuracy on the test rows after each count of rows that were learnt."""
    model, done, found = copy.deepcopy(learner), 0, []
    for count in counts:
        for x, y in teach[done:count]:
            model.learn_one(x, y)
        done = count
        found.append(float(np.mean([model.predict_one(x) == y for x, y in test])))
    return found


def main() -> None:
    """Read, learn, write."""
    with np.load(sys.argv[1]) as file:
        data = {name: file[name] for name in file.files}
    counts = data["counts"].tolist()
    result: dict[str, Any] = {}
    for name, make in LEARNERS.items():
        learner = make()
        for x, y in pairs(data["fleet"], data["fleet_y"]):
            learner.learn_one(x, y)
        result[name] = np.array([
            accuracies(learner, *_parts(data, unit), counts)
            for unit in np.unique(data["test_unit"])
        ])  # fmt: skip
    np.savez(sys.argv[2], **result)


def _parts(data: dict[str, NDArray[Any]], unit: int) -> tuple[Pairs, Pairs]:
    teach, test = (data[f"{part}_unit"] == unit for part in ("teach", "test"))
    return (
        pairs(data["teach"][teach], data["teach_y"][teach]),
        pairs(data["test"][test], data["test_y"][test]),
    )


if __name__ == "__main__":
    main()
