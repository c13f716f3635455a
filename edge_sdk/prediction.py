"""What ``predict`` returns: one answer, or a batch of answers by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.manifest import Label
from edge_sdk.contract.messages import Source


class Prediction:
    """One answer.

    Attributes:
        label: the class, for classifiers; else ``None``.
        probabilities: float array [classes] in the order of the release's classes, or ``None``.
        value: the number a regressor gave; an array for several targets; else ``None``.
        outputs: every output tensor by name, without the batch axis, where ``model`` answered.
        confidence: largest probability, in [0, 1]; ``None`` where there are no probabilities.
        source: ``pack``, ``model`` or ``cloud``.
        version: of the release that was asked (the cloud's own when ``source`` is ``cloud``).
        degraded: the cloud was wanted and could not answer.
    """

    __slots__ = (
        "_number",
        "_tag",
        "confidence",
        "degraded",
        "label",
        "outputs",
        "probabilities",
        "source",
        "value",
        "version",
    )

    def __init__(
        self,
        tag: str,
        number: int,
        version: str,
        source: Source,
        label: Label | None,
        probabilities: NDArray[Any] | None,
        value: float | NDArray[Any] | None,
        outputs: dict[str, Any],
        confidence: float | None,
        degraded: bool,
    ) -> None:
        self._tag = tag
        self._number = number
        self.version = version
        self.source: Source = source
        self.label = label
        self.probabilities = probabilities
        self.value = value
        self.outputs = outputs
        self.confidence = confidence
        self.degraded = degraded

    @property
    def id(self) -> str:
        """Names this prediction for ``feedback``; unique on the device."""
        return f"{self._tag}-{self._number}"

    def __repr__(self) -> str:
        answer = self.label if self.label is not None else self.value
        sure = "" if self.confidence is None else f" confidence={self.confidence:.3f}"
        return f"<Prediction {answer!r}{sure} from {self.source} {self.version} id={self.id}>"


@dataclass(frozen=True)
class BatchPrediction:
    """Answers to N rows, by column; index or iterate for single :class:`Prediction` objects.

    ``probabilities`` is [N, classes]; ``outputs`` holds every output tensor with its batch axis.
    The ids of the batch are ``TAG-FIRST`` to ``TAG-(FIRST+N-1)``.
    """

    tag: str
    first: int
    version: str
    count: int
    labels: tuple[Label, ...] | None
    probabilities: NDArray[Any] | None
    values: NDArray[Any] | None
    confidences: NDArray[np.float32] | None
    outputs: dict[str, NDArray[Any]]
    source: Source = "model"

    @property
    def ids(self) -> list[str]:
        """Names for ``feedback``."""
        return [f"{self.tag}-{n}" for n in range(self.first, self.first + self.count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Prediction:
        if not -self.count <= index < self.count:
            raise IndexError(f"expected an index below {self.count}, got {index}")
        i = index % self.count
        return Prediction(
            self.tag,
            self.first + i,
            self.version,
            self.source,
            None if self.labels is None else self.labels[i],
            None if self.probabilities is None else self.probabilities[i],
            None if self.values is None else as_value(self.values[i]),
            {name: array[i] for name, array in self.outputs.items()},
            None if self.confidences is None else float(self.confidences[i]),
            degraded=False,
        )

    def __iter__(self) -> Iterator[Prediction]:
        return (self[i] for i in range(self.count))


def as_value(value: NDArray[Any]) -> float | NDArray[Any]:
    """A float for one target, the array for several."""
    return float(value.reshape(())) if value.size == 1 else value
