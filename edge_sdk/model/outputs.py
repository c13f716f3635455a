"""Output tensors to :class:`Prediction` objects; roles of outputs are resolved once, at loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import HubError
from edge_sdk.model.prediction import BatchPrediction, Origin, Prediction, as_value

if TYPE_CHECKING:
    from edge_sdk.contract.fleet import CloudReply
    from edge_sdk.contract.manifest import Label, Manifest, OutputSpec


class Answers:
    """Reader of one release's answers, from its model, a pack or the cloud.

    Attributes:
        classes: labels in the order of the probabilities.
        probabilities: name of that output, or ``None``; likewise ``value`` and ``label``.
        generic: True if the release is neither a classifier nor a regressor.
        model: origin of the on-device model's answers; ``pack`` that of stored ones.
        needed: outputs that an answer is read from.
    """

    def __init__(self, manifest: Manifest, tag: str) -> None:
        signature = manifest.signature
        self.classes: tuple[Label, ...] = signature.classes
        label, probabilities = signature.output("label"), signature.output("probabilities")
        value = signature.output("value")
        self.probabilities = probabilities.name if probabilities else None
        self.value = value.name if value else None
        # Where the certificate says so, the label is the class of the largest probability.
        argmax = manifest.training.get("label") == "argmax" and probabilities is not None
        self.label = label.name if label and not argmax else None
        self.generic = not (label or probabilities or value)
        # No prediction shows the state, nor an inner tensor that monitoring sums up.
        hidden = {link.output for link in signature.state}
        self._embedding = {spec.name for spec in signature.outputs if spec.role == "embedding"}
        hidden |= self._embedding
        dropped = {label.name} if label and argmax else set()
        self.needed: tuple[OutputSpec, ...] = tuple(
            spec for spec in signature.outputs if spec.name not in dropped
        )
        self._roles = {spec.role: spec.name for spec in self.needed if spec.role != "embedding"}
        self._shown = [spec.name for spec in signature.outputs if spec.name not in hidden]
        self._batched = signature.batched
        dtype = probabilities.dtype if probabilities else "float32"
        self.model = Origin(tag, manifest.version, "model", dtype)
        self.pack = replace(self.model, source="pack")
        self._degraded = replace(self.model, degraded=True)

    def read(self, outputs: Mapping[str, NDArray[Any]], origin: Origin) -> Prediction:
        """Return the prediction of outputs with a batch axis of one; it holds views of them."""
        if self.generic:
            return Prediction(origin, 0, None, None, outputs=self._plain(outputs))
        label, confidence, scores, value = None, None, None, None
        if self.probabilities is not None:
            scores = outputs[self.probabilities][0]
            label, confidence = most_likely(scores.tolist(), self.classes)
        if self.label is not None and self.label in outputs:
            raw = outputs[self.label][0]
            label = raw.item() if isinstance(raw, np.generic) else raw
        if self.value is not None and self.value in outputs:
            value = as_value(outputs[self.value][0])
        return Prediction(origin, 0, label, confidence, scores, value)

    def batch(self, outputs: dict[str, NDArray[Any]]) -> BatchPrediction:
        """Return the predictions of outputs with N rows; they hold those arrays."""
        if self._embedding:
            outputs = {n: array for n, array in outputs.items() if n not in self._embedding}
        return BatchPrediction(self.model, self.classes, outputs, self._roles)

    def degraded(self, local: Prediction) -> Prediction:
        """Mark ``local`` as served because the cloud could not answer."""
        local._origin = self._degraded
        return local

    def from_pack(self, stored: Mapping[str, NDArray[Any]]) -> Prediction:
        """Return the prediction of a pack's value; a stored label is the index of its class."""
        outputs = {name: array[None] for name, array in stored.items()}
        if self.label is not None and self.label in outputs:
            index = int(stored[self.label])
            outputs[self.label] = np.asarray([self.classes[index]], dtype=object)
        return self.read(outputs, self.pack)

    def from_cloud(self, reply: CloudReply) -> Prediction:
        """Return the prediction of the cloud model's reply.

        Raises:
            HubError: the reply has other classes than this release.
        """
        classes = self.classes
        fits = not classes or reply.label in classes
        if not fits or len(reply.probabilities) not in (0, len(classes)):
            raise HubError(f"cloud: expected one of {list(classes)[:20]}, got {reply.label!r:.60}")
        scores = reply.probabilities or None
        confidence = None if scores is None else most_likely(scores, classes)[1]
        origin = replace(self.model, source="cloud", version=reply.version)
        return Prediction(origin, 0, reply.label, confidence, scores, reply.value)

    def _plain(self, outputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        if self._batched:
            return {name: outputs[name][0] for name in self._shown}
        return {name: outputs[name] for name in self._shown}


def classifier(origin: Origin, classes: Sequence[Label]) -> Callable[[Sequence[float]], Prediction]:
    """Return a function that makes the prediction of the class with the largest score."""

    def classified(scores: Sequence[float]) -> Prediction:
        largest = max(scores)
        # One addition chain finds any NaN or infinity; max() alone can pass over a NaN.
        confidence = largest if isfinite(sum(scores)) else nan
        return Prediction(origin, 0, classes[scores.index(largest)], confidence, scores)

    return classified


def most_likely(scores: Sequence[float], classes: Sequence[Label]) -> tuple[Label, float]:
    """Return the class of the largest score, and that score; NaN if any score is not finite."""
    largest = max(scores)
    return classes[scores.index(largest)], largest if isfinite(sum(scores)) else nan
