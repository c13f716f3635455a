"""Predictions: one answer, or the answers to a batch by column."""

from __future__ import annotations

import functools
import operator
import reprlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.label_sets import LabelSet

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label, Role
    from edge_sdk.contract.window import Source


NO_OUTPUTS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Origin:
    """Properties that all predictions of one release from one source share.

    They are stored once and not in every prediction, which keeps a prediction cheap to make.

    Attributes:
        tag: name of the serving release in this process, the first part of prediction ids.
        version: version of the release that answered; the cloud model's own for ``cloud``.
        source: ``pack``, ``model``, ``cloud`` or ``default``.
        dtype: dtype of the probabilities.
        degraded: True if the cloud was wanted and could not answer.
        multilabel: the classes of a multilabel model, and the score from which each is given.
        personalised: True if the answer was corrected for the unit that it was made for.
        computed_at: when an answer by entity was computed, Unix seconds; ``None`` for others.
        clock: function that returns Unix seconds, by which its age is counted.
    """

    tag: str
    version: str
    source: Source
    dtype: str = "float32"
    degraded: bool = False
    multilabel: tuple[tuple[Label, ...], float] | None = None
    computed_at: float | None = None
    clock: Callable[[], float] = time.time
    personalised: bool = False


class RankedItems(NamedTuple):
    """A ranked list: the names of items, best first, and their scores.

    A list that a policy declares as default has no scores.
    """

    items: tuple[str, ...]
    scores: tuple[float, ...] = ()


class Prediction:
    """One answer.

    Attributes:
        label: class, for classifiers; else ``None``. A multilabel model has :attr:`labels`.
        confidence: largest probability, in [0, 1]; ``None`` without probabilities.
        value: number of a regressor; an array [targets] for several targets; :class:`RankedItems`
            where the answer is a ranked list; else ``None``.
        outputs: for models that are neither classifiers nor regressors every output tensor by
            name, without the batch axis; else empty.
    """

    __slots__ = ("_number", "_origin", "_scores", "confidence", "label", "outputs", "value")

    label: Label | None
    confidence: float | None
    value: float | NDArray[Any] | RankedItems | None
    outputs: Mapping[str, Any]
    _number: int | str
    _origin: Origin
    _scores: Sequence[float] | NDArray[Any] | None

    # There is no __init__: its call takes as long as all assignments. The fast path makes them
    # itself, everything else by way of :meth:`of`.

    @classmethod
    def of(
        cls,
        origin: Origin,
        number: int | str,
        label: Label | None,
        confidence: float | None,
        scores: Sequence[float] | NDArray[Any] | None = None,
        value: float | NDArray[Any] | RankedItems | None = None,
        outputs: Mapping[str, Any] = NO_OUTPUTS,
    ) -> Self:
        """Return a prediction with these attributes; ``number`` is the second part of its id."""
        made = cls()
        made._origin = origin
        made._number = number
        made._scores = scores
        made.label = label
        made.confidence = confidence
        made.value = value
        made.outputs = outputs
        return made

    @property
    def probabilities(self) -> NDArray[Any] | None:
        """Float array [classes] in the order of the release's classes, or ``None``.

        Those of a multilabel model are each for itself, and do not sum to 1.
        """
        # Made on demand: most callers read the label only, and an array costs half a microsecond.
        if self._scores is not None and not isinstance(self._scores, np.ndarray):
            scores = np.array(self._scores, None if self.personalised else self._origin.dtype)
            if self.personalised:  # odds, until somebody asks for the probabilities
                scores = (scores / scores.sum()).astype(self._origin.dtype)
            self._scores = scores
        return self._scores

    @property
    def labels(self) -> tuple[Label, ...] | None:
        """Classes that a multilabel model gives, perhaps none; ``None`` for other models."""
        rule = self._origin.multilabel
        if rule is None or self._scores is None:
            return None
        classes, threshold = rule
        return tuple(c for c, s in zip(classes, self._scores, strict=True) if s >= threshold)

    @property
    def compared(self) -> Label | None:
        """The label, or all labels of a multilabel model as one, as monitoring compares them."""
        if self._origin.multilabel is None:
            return self.label
        labels = self.labels
        return None if labels is None else LabelSet.of(labels)

    @property
    def ranked(self) -> RankedItems | None:
        """Items and scores where the answer is a ranked list, else ``None``."""
        return self.value if isinstance(self.value, RankedItems) else None

    @property
    def age(self) -> float | None:
        """Seconds since an answer by entity was computed in the cloud; ``None`` for others."""
        computed_at = self._origin.computed_at
        # A clock that is behind the cloud's would make it less than nothing.
        return None if computed_at is None else max(0.0, self._origin.clock() - computed_at)

    @property
    def source(self) -> Source:
        """Source of the answer: ``pack``, ``model``, ``cloud``, or ``default`` as declared."""
        return self._origin.source

    @property
    def version(self) -> str:
        """Version of the release that answered; the cloud model's own for ``cloud``."""
        return self._origin.version

    @property
    def degraded(self) -> bool:
        """True if the cloud was wanted and could not answer."""
        return self._origin.degraded

    @property
    def personalised(self) -> bool:
        """True if the answer was corrected for the unit that it was made for."""
        return self._origin.personalised

    @property
    def id(self) -> str:
        """Id for ``feedback``; unique on the device."""
        return f"{self._origin.tag}-{self._number}"

    def __repr__(self) -> str:
        answer = next((a for a in (self.label, self.labels, self.value) if a is not None), None)
        shown = reprlib.repr(answer) if answer is not None else _shapes(self.outputs)
        confidence = "" if self.confidence is None else f" confidence={self.confidence:.3f}"
        origin = f"{self.source} {self.version}" + (" degraded" if self.degraded else "")
        origin += " personalised" if self.personalised else ""
        return f"<Prediction {shown}{confidence} from {origin} id={self.id}>"


class BatchPrediction:
    """Answers to N rows, by column; index or iterate for single :class:`Prediction` objects.

    Attributes:
        outputs: output tensors by name, [N, ...]; without a label that follows from the others.
        probabilities: array [N, classes], or ``None``; of a multilabel model each for itself.
        multilabel: True if :attr:`labels` holds a tuple of classes for each row.
        values: array [N] or [N, targets] of a regressor, or ``None``.
        own: the release's answers to the same rows, where these were corrected for a unit; else
            ``None``.
        personalised: of each row whether its answer was corrected for a unit, [N]; ``None`` where
            none was.
    """

    own: BatchPrediction | None = None
    personalised: NDArray[np.bool_] | None = None

    def __init__(
        self,
        origin: Origin,
        classes: tuple[Label, ...],
        outputs: dict[str, NDArray[Any]],
        roles: Mapping[Role, str],
        stored: tuple[Origin, NDArray[np.bool_]] | None = None,
    ) -> None:
        self._origin = origin
        self._stored = stored
        self._number = 0
        self._classes = classes
        self._roles = roles
        self._remembered: Callable[[BatchPrediction], None] | None = None
        self._groups: NDArray[np.uint8] | None = None
        self.outputs = outputs
        self._label_output = outputs.get(roles.get("label", ""))
        self.multilabel = origin.multilabel is not None
        scored: Role = "scores" if self.multilabel else "probabilities"
        self.probabilities = outputs.get(roles.get(scored, ""))
        values = outputs.get(roles.get("value", ""))
        if values is not None and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        self.values = values
        self._count = len(next(iter(outputs.values())))

    def __repr__(self) -> str:
        answers = self.labels if self.labels is not None else self.values
        shown = _shapes(self.outputs) if answers is None else reprlib.repr(answers[:7].tolist())
        return f"<BatchPrediction of {self._count}: {shown} from {self.source} {self.version}>"

    @property
    def version(self) -> str:
        """Version of the release that answered."""
        return self._origin.version

    @property
    def source(self) -> Source:
        """Source of the answers; of a batch of which the pack answered a part it is ``model``."""
        return self._origin.source

    @property
    def sources(self) -> list[Source]:
        """Source of each answer, [N]."""
        if self._stored is None:
            return [self.source] * self._count
        return ["pack" if known else "model" for known in self._stored[1].tolist()]

    @property
    def from_pack(self) -> NDArray[np.bool_] | None:
        """Whether the pack gave each answer, [N]; ``None`` where it was not asked or held none."""
        return None if self._stored is None else self._stored[1]

    @property
    def counts(self) -> dict[Source, int]:
        """Number of answers by source."""
        if self._stored is None:
            return {self.source: self._count}
        known = int(self._stored[1].sum())
        both: tuple[tuple[Source, int], ...] = (("pack", known), ("model", self._count - known))
        return {source: count for source, count in both if count}

    @functools.cached_property
    def labels(self) -> NDArray[Any] | None:
        """Class of each row, [N]; ``None`` unless the model is a classifier.

        Of a multilabel model a tuple of classes for each row, [N] of objects.
        """
        if self._origin.multilabel is not None and self.probabilities is not None:
            return _label_sets(self.probabilities, *self._origin.multilabel)
        if self._label_output is not None or self.probabilities is None:
            return self._label_output
        labels: NDArray[Any] = np.asarray(self._classes)[self.probabilities.argmax(axis=1)]
        return labels

    @functools.cached_property
    def compared(self) -> NDArray[Any] | None:
        """Label of each row, [N], or all labels of each as one, as monitoring compares them."""
        labels = self.labels
        if labels is None or not self.multilabel:
            return labels
        sets = np.empty(len(labels), object)
        sets[:] = [LabelSet.of(each) for each in labels]
        return sets

    @functools.cached_property
    def confidences(self) -> NDArray[Any] | None:
        """Largest probability of each row, [N]; ``None`` without probabilities of one class."""
        if self.probabilities is None or self.multilabel:
            return None
        return self.probabilities.max(axis=1)  # type: ignore[no-any-return]

    def corrected(self, answers: NDArray[Any], which: NDArray[np.bool_]) -> BatchPrediction:
        """Return the same batch with the answers of some rows corrected for a unit.

        Args:
            answers: probabilities [N, classes], or numbers [N].
            which: of each row whether it was corrected, [N].
        """
        role: Role = "value" if self.probabilities is None else "probabilities"
        name, label = self._roles[role], self._roles.get("label")
        changed = answers.astype(self.outputs[name].dtype).reshape(self.outputs[name].shape)
        # A label that the model computed would be that of its own probabilities.
        outputs = {n: a for n, a in self.outputs.items() if n != label} | {name: changed}
        batch = BatchPrediction(self._origin, self._classes, outputs, self._roles, self._stored)
        batch.own, batch.personalised = self, which
        return batch

    def sample(self, rows: slice) -> BatchPrediction:
        """Return the answers to some rows, as a copy."""
        some = {name: array[rows].copy() for name, array in self.outputs.items()}
        stored = self._stored and (self._stored[0], self._stored[1][rows])
        return BatchPrediction(self._origin, self._classes, some, self._roles, stored)

    @property
    def ids(self) -> list[str]:
        """Ids for ``feedback``, in order."""
        self._remember()
        return [f"{self._origin.tag}-{self._number}.{i}" for i in range(self._count)]

    def _remember(self) -> None:
        """Tell monitoring that the application has an id, and may bring a label for it later."""
        # Batches whose ids nobody reads are not kept for labels; that saves their memory.
        remember, self._remembered = self._remembered, None
        if remember is not None:
            remember(self)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Prediction:
        """Return one answer; raise TypeError or IndexError like a list."""
        i = operator.index(index)
        if not -self._count <= i < self._count:
            raise IndexError(f"expected an index below {self._count}, got {index}")
        self._remember()
        i %= self._count
        labels, confidences = self.labels, self.confidences
        return Prediction.of(
            self._origin_of(i),
            f"{self._number}.{i}",
            None if labels is None or self.multilabel else _scalar(labels[i]),
            None if confidences is None else float(confidences[i]),
            None if self.probabilities is None else self.probabilities[i],
            None if self.values is None else as_value(self.values[i]),
            {name: array[i] for name, array in self.outputs.items()},
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[i] for i in range(self._count))

    def _origin_of(self, row: int) -> Origin:
        known = self._stored is not None and self._stored[1][row]
        origin = self._stored[0] if known and self._stored is not None else self._origin
        if self.personalised is not None and self.personalised[row]:
            return replace(origin, personalised=True)
        return origin


def _label_sets(
    scores: NDArray[Any], classes: Sequence[Label], threshold: float
) -> NDArray[np.object_]:
    sets = np.empty(len(scores), object)
    for i, row in enumerate(scores >= threshold):
        sets[i] = tuple(c for c, given in zip(classes, row, strict=True) if given)
    return sets


def _shapes(outputs: Mapping[str, Any]) -> str:
    """Return the shapes of arrays, for the repr of a model without label and value."""
    return reprlib.repr({name: np.shape(array) for name, array in outputs.items()})


def _scalar(label: Any) -> Label:
    plain: Label = label.item() if isinstance(label, np.generic) else label
    return plain


def as_value(value: NDArray[Any]) -> float | NDArray[Any]:
    """Return a float for one target, the array for several."""
    return float(value.reshape(())) if value.size == 1 else value
