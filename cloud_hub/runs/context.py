"""Argument of a training function, and its result."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cloud_hub.errors import Invalid
from cloud_hub.features.training import TrainingFeatures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cloud_hub.data.dataset import Dataset

Mode = Literal["stateful", "stateless"]


@dataclass(frozen=True)
class LabelledRows:
    """Labelled rows: ``X`` [N, features] in manifest order, ``y`` [N].

    ``X`` is an array where the features are numbers without names of their own, else a pandas
    DataFrame: texts are texts in it, categories categories.
    """

    X: Any
    y: NDArray[Any]

    @classmethod
    def of(cls, data: Dataset) -> LabelledRows:
        """Return the rows of a dataset; raises Invalid if they have no labels."""
        labels = data.labels
        if labels is None:
            raise Invalid("rows: expected labels y beside X, or a column that is the label")
        return cls(data.X, labels)

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True)
class TrainingContext:
    """One training.

    Attributes:
        model: name of the model.
        run: number of the run.
        mode: ``stateful`` (continue from the parent) or ``stateless`` (from scratch).
        mode_reason: why it is that mode, where another one was wanted.
        parent: the serving version, to be improved.
        window: (since, until) in Unix seconds: when the fresh rows were predicted.
        fresh: newest labelled rows that devices shared; a part is held back for the offline gate.
        history: the rows kept as dataset ``train``, if there are any.
        state: state of the parent's training to continue from, if there is any: the pickle of
            its estimator, or the ``state`` of its :class:`Trained`.
        seed: for everything random, so that the run can be repeated.
        datasets: versions of datasets that it trains on, as ``NAME@N``.
        rehearsal: which rows of ``fresh`` [N] are old ones, mixed in by the policy's ``rehearsal``.
        store: sets of features of this model, as they were when the run began.
    """

    model: str
    run: int
    mode: Mode
    mode_reason: str
    parent: str
    window: tuple[float, float]
    fresh: LabelledRows
    history: LabelledRows | None
    state: bytes | None
    seed: int
    datasets: tuple[str, ...] = ()
    rehearsal: NDArray[np.bool_] | None = None
    store: TrainingFeatures = field(default_factory=TrainingFeatures)

    def features(
        self,
        labels: Any,
        *,
        as_of: str = "time",
        sets: Sequence[str] = (),
        ages: bool = False,
        events: Any = None,
    ) -> Any:
        """Return labels with what serving would have had at their moments.

        Args:
            labels: N rows, a DataFrame or columns by name, with the entity's column of each set.
            as_of: column of moments: timestamps (UTC without a zone), or Unix seconds.
            sets: names of sets; default all of this model.
            ages: also a column ``SET@age``: how old the values were, in seconds.
            events: log of events, for the set of sessions: a DataFrame or columns by name.

        Returns:
            A DataFrame of N rows in their order: the labels, and a column for each feature.

        Raises:
            HubFault: the model has no such set, or the labels cannot be joined.
        """
        return self.store.features(labels, as_of=as_of, sets=sets, ages=ages, events=events)

    def parent_estimator(self) -> Any:
        """Return the parent's estimator, unpickled: the hub itself wrote it.

        Raises:
            ValueError: the parent was published without its training state.
        """
        if self.state is None:
            raise ValueError(
                f"{self.model} {self.parent}: was published without its training state; train "
                "stateless, or publish with --training-state"
            )
        return pickle.loads(self.state)


@dataclass(frozen=True)
class Trained:
    """A trained model, with more to say than the estimator itself.

    Attributes:
        model: a fitted estimator, or the path of an ``.onnx``, ``.skops`` or ``.pkl`` file.
        state: state that the next stateful training continues from; default: the pickled
            estimator.
        check: rows that it was not trained on; needed where it takes other features than the
            shared rows have.
        restarted: why this did not continue the parent although the mode is stateful, for
            example a new architecture; the version is then stateless.
    """

    model: Any
    state: bytes | None = None
    check: LabelledRows | None = None
    restarted: str = ""

    @property
    def path(self) -> Path | None:
        """Return the path of the model, if it is a file."""
        return Path(self.model) if isinstance(self.model, str | Path) else None
