"""The section ``train.rehearsal`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.contract.errors import require
from edge_sdk.contract.names import check_name


@dataclass(frozen=True)
class RehearsalPolicy:
    """Old rows that a training is given among the fresh ones, so that a model does not forget.

    A ``share`` of all rows are old (0: none), drawn from the newest version of each of
    ``datasets``, and of ``fresh`` from what earlier runs took; never from the holdout.
    ``balanced``: as many of each class as there are, instead of as they come.
    """

    share: float = 0.0
    datasets: tuple[str, ...] = ("train",)
    balanced: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.share <= 0.9, "share: expected a share of the rows, 0 to 0.9")
        require(bool(self.datasets), "datasets: expected at least one name")
        for name in self.datasets:
            check_name("datasets", name)
        require(len(set(self.datasets)) == len(self.datasets), "datasets: expected different names")
        judged = "datasets: the holdout judges candidates, so nothing may be trained on it"
        require("holdout" not in self.datasets, judged)
