"""Output tensors to :class:`Prediction` objects; roles of outputs are resolved once, at loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import HubError, ReleaseError
from edge_sdk.model.prediction import BatchPrediction, Origin, Prediction, as_value

if TYPE_CHECKING:
    from edge_sdk.contract.fleet import CloudReply
    from edge_sdk.contract.manifest import Label, Manifest, OutputSpec, Role


class Answers:
    """Reader of one release's answers, from its model, a pack or the cloud.

    Attributes:
        classes: labels in the order of the probabilities.
        probabilities: name of that output, or ``None``; likewise ``scores`` (of a multilabel
            model), ``value`` and ``label``.
        generic: True if the release is neither a classifier nor a regressor.
        model: origin of the on-device model's answers; ``pack`` that of stored ones.
        needed: outputs that an answer is read from.
        batch_outputs: names of those that a batch of answers holds.
    """

    def __init__(self, manifest: Manifest, tag: str) -> None:
        signature = manifest.signature
        self.classes: tuple[Label, ...] = signature.classes
        label, probabilities = signature.output("label"), signature.output("probabilities")
        value, scores = signature.output("value"), signature.output("scores")
        self.probabilities = probabilities.name if probabilities else None
        self.scores = scores.name if scores else None
        self.value = value.name if value else None
        derived = derived_label(manifest)
        self.label = label.name if label and label is not derived else None
        self.generic = not (label or probabilities or scores or value)
        # No prediction shows the state, nor an inner tensor that monitoring sums up.
        self._embedding = {spec.name for spec in signature.outputs if spec.role == "embedding"}
        hidden = self._embedding | {link.output for link in signature.state}
        self.needed = needed_outputs(manifest)
        self._roles: dict[Role, str] = {
            spec.role: spec.name for spec in self.needed if spec.role != "embedding"
        }
        self.batch_outputs = tuple(
            spec.name for spec in self.needed if spec.name not in self._embedding
        )
        self._shown = [spec.name for spec in signature.outputs if spec.name not in hidden]
        self._axes = {s.name: s.batch for s in self.needed} if signature.batched else {}
        scored = probabilities or scores
        dtype = scored.dtype if scored else "float32"
        several = (self.classes, signature.threshold) if scores else None
        self.model = Origin(tag, manifest.version, "model", dtype, multilabel=several)
        self.pack = replace(self.model, source="pack")
        self._degraded = replace(self.model, degraded=True)

    def read(self, outputs: Mapping[str, NDArray[Any]], origin: Origin) -> Prediction:
        """Return the prediction of outputs with a batch axis of one; it holds views of them.

        Raises:
            ReleaseError: an output has other than one row, so that an answer would be lost.
        """
        if self.generic:
            plain = {name: self._row(name, outputs[name]) for name in self._shown}
            return Prediction.of(origin, 0, None, None, outputs=plain)
        label, confidence, scores, value = None, None, None, None
        if self.probabilities is not None:
            scores = self._row(self.probabilities, outputs[self.probabilities])
            label, confidence = most_likely(scores.tolist(), self.classes)
        if self.scores is not None:
            scores = self._row(self.scores, outputs[self.scores])
        if self.label is not None and self.label in outputs:
            raw = self._row(self.label, outputs[self.label])
            label = raw.item() if isinstance(raw, np.generic) else raw
        if self.value is not None and self.value in outputs:
            value = as_value(self._row(self.value, outputs[self.value]))
        return Prediction.of(origin, 0, label, confidence, scores, value)

    def batch(self, outputs: Mapping[str, NDArray[Any]], rows: int) -> BatchPrediction:
        """Return the predictions of outputs with ``rows`` rows; they hold views of those arrays.

        Raises:
            ReleaseError: an output has another number of rows.
        """
        turned = {
            name: self._rows_first(name, self._checked(name, array, rows))
            for name, array in outputs.items()
            if name not in self._embedding
        }
        return BatchPrediction(self.model, self.classes, turned, self._roles)

    def mixed(self, outputs: dict[str, NDArray[Any]], known: NDArray[np.bool_]) -> BatchPrediction:
        """Return the predictions of N rows, of which the ``known`` ones come from the pack.

        Args:
            outputs: :attr:`batch_outputs` by name, [N, ...].
            known: of each row whether the pack answered it, [N].
        """
        origin = self.pack if known.all() else self.model
        return BatchPrediction(origin, self.classes, outputs, self._roles, (self.pack, known))

    def stored_value(self, name: str, stored: Mapping[str, NDArray[Any]]) -> Any:
        """Return one output of a pack's value; a stored label is the index of its class."""
        return self.classes[int(stored[name])] if name == self.label else stored[name]

    def degraded(self, local: Prediction) -> Prediction:
        """Mark ``local`` as served because the cloud could not answer."""
        local._origin = self._degraded
        return local

    def from_pack(self, stored: Mapping[str, NDArray[Any]]) -> Prediction:
        """Return the prediction of a pack's value; a stored label is the index of its class."""
        outputs = {n: np.expand_dims(a, self._axes.get(n, 0)) for n, a in stored.items()}
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
        return Prediction.of(origin, 0, reply.label, confidence, scores, reply.value)

    def _row(self, name: str, output: NDArray[Any]) -> Any:
        """Return the only row of an output; the whole where the model has no batch axis."""
        axis = self._axes.get(name)
        if axis is None:
            return output
        self._checked(name, output, 1)
        return output[0] if axis == 0 else output.take(0, axis)

    def _rows_first(self, name: str, output: NDArray[Any]) -> NDArray[Any]:
        axis = self._axes[name]
        return output if axis == 0 else np.moveaxis(output, axis, 0)

    def _checked(self, name: str, output: NDArray[Any], rows: int) -> NDArray[Any]:
        axis = self._axes[name]
        if output.ndim <= axis or output.shape[axis] != rows:
            raise ReleaseError(
                f"output {name!r}: expected answers to {rows} inputs along axis {axis}, got shape "
                f"{output.shape}; convert the model again with batched=False, so that it takes one "
                "input at a time and its outputs are given whole"
            )
        return output


def derived_label(manifest: Manifest) -> OutputSpec | None:
    """Return the label output if, by the certificate, it is the class of the largest probability.

    Then nobody has to compute it.
    """
    signature = manifest.signature
    follows = manifest.training.get("label") == "argmax"
    return signature.output("label") if follows and signature.output("probabilities") else None


def needed_outputs(manifest: Manifest) -> tuple[OutputSpec, ...]:
    """Return the outputs that an answer is read from: all but a label that follows from others."""
    derived = derived_label(manifest)
    return tuple(spec for spec in manifest.signature.outputs if spec is not derived)


def classifier(origin: Origin, classes: Sequence[Label]) -> Callable[[Sequence[float]], Prediction]:
    """Return a function that makes the prediction of the class with the largest score."""

    def classified(scores: Sequence[float]) -> Prediction:
        largest = max(scores)
        # One addition chain finds any NaN or infinity; max() alone can pass over a NaN.
        confidence = largest if isfinite(sum(scores)) else nan
        return Prediction.of(origin, 0, classes[scores.index(largest)], confidence, scores)

    return classified


class Vectors(NamedTuple):
    """Vectors in a mapped file: entry ``i`` is ``unpack(data, begin + size * i)``."""

    unpack: Callable[[Any, int], tuple[float, ...]]
    data: Any
    begin: int
    size: int


def stored_classifier(
    origin: Origin, classes: Sequence[Label], stored: Vectors
) -> Callable[[int], Prediction]:
    """Return a function that makes the prediction of an entry's scores.

    The same as :func:`classifier` of the unpacked entry, without the two calls between.
    """
    unpack, data, begin, size = stored

    def classified(entry: int) -> Prediction:
        scores = unpack(data, begin + size * entry)
        largest = max(scores)
        confidence = largest if isfinite(sum(scores)) else nan
        return Prediction.of(origin, 0, classes[scores.index(largest)], confidence, scores)

    return classified


def most_likely(scores: Sequence[float], classes: Sequence[Label]) -> tuple[Label, float]:
    """Return the class of the largest score, and that score; NaN if any score is not finite."""
    largest = max(scores)
    return classes[scores.index(largest)], largest if isfinite(sum(scores)) else nan
