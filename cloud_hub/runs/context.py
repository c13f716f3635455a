"""What a training function is given."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Labelled rows: ``X`` [N, features] in manifest order, ``y`` [N]."""

    X: NDArray[Any]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True)
class TrainingContext:
    """One training.

    Attributes:
        model: name of the model.
        mode: ``stateful`` (continue from the parent) or ``stateless`` (from scratch).
        parent: version that serves and is to be improved.
        fresh: newest labelled rows that devices shared; a part is held back for the offline gate.
        history: the rows kept as dataset ``train``, if there are any.
        state: pickle of the parent's estimator, if it was published with its training state.
        seed: for everything random, so that the run can be repeated.
    """

    model: str
    mode: Literal["stateful", "stateless"]
    parent: str
    fresh: Rows
    history: Rows | None
    state: bytes | None
    seed: int

    def parent_estimator(self) -> Any:
        """The parent's estimator, unpickled: the hub itself wrote it.

        Raises:
            ValueError: the parent was published without its training state.
        """
        if self.state is None:
            raise ValueError(
                f"{self.model} {self.parent}: was published without its training state; train "
                "stateless, or publish with --training-state"
            )
        return pickle.loads(self.state)
