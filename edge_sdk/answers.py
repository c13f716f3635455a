"""From output tensors to a :class:`Prediction`: what each output means was settled at loading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.fleet import CloudReply
from edge_sdk.contract.manifest import Label, Manifest
from edge_sdk.contract.messages import Source
from edge_sdk.errors import HubError
from edge_sdk.prediction import Prediction, as_value


class Answers:
    """Reads answers of one release, whether they come from its model, a pack or the cloud."""

    def __init__(self, manifest: Manifest, tag: str) -> None:
        signature = manifest.signature
        self._version = manifest.version
        self._tag = tag
        self._classes: tuple[Label, ...] = signature.classes
        label, probabilities = signature.output("label"), signature.output("probabilities")
        value = signature.output("value")
        self._probabilities = probabilities.name if probabilities else None
        self._value = value.name if value else None
        # Where the certificate says so, the label is the class of the largest probability.
        argmax = manifest.training.get("label") == "argmax" and probabilities is not None
        self._label = label.name if label and not argmax else None
        self._generic = not (label or probabilities or value)

    def read(self, outputs: Mapping[str, NDArray[Any]], source: Source) -> Prediction:
        """One prediction from outputs with a batch axis of one; keeps views of them."""
        probabilities, value, label, confidence = None, None, None, None
        if self._probabilities is not None:
            probabilities = outputs[self._probabilities][0]
            scores = probabilities.tolist()
            confidence = max(scores)
            label = self._classes[scores.index(confidence)]
        if self._label is not None and self._label in outputs:
            given = outputs[self._label][0]
            label = given.item() if isinstance(given, np.generic) else given
        elif self._value is not None:
            value = as_value(outputs[self._value][0])
        rest = {name: array[0] for name, array in outputs.items()} if self._generic else {}
        return Prediction(
            self._tag,
            0,
            self._version,
            source,
            label,
            probabilities,
            value,
            rest,
            confidence,
            False,
        )

    def from_pack(self, stored: Mapping[str, NDArray[Any]]) -> Prediction:
        """One prediction from a pack's value; a stored label is the index of its class."""
        outputs = {name: array[None] for name, array in stored.items()}
        if self._label is not None and self._label in outputs:
            index = int(stored[self._label])
            outputs[self._label] = np.asarray([self._classes[index]], dtype=object)
        return self.read(outputs, "pack")

    def from_cloud(self, reply: CloudReply, local: Prediction) -> Prediction:
        """One prediction from the cloud model's reply, served instead of the ``local`` one.

        Raises:
            HubError: it speaks of other classes than this release.
        """
        classes = self._classes
        known = not classes or reply.label in classes
        if not known or len(reply.probabilities) not in (0, len(classes)):
            raise HubError(f"cloud: expected one of {list(classes)[:20]}, got {reply.label!r:.60}")
        probabilities = np.asarray(reply.probabilities, np.float32) if reply.probabilities else None
        confidence = None if probabilities is None else float(probabilities.max())
        served = Prediction(
            self._tag,
            0,
            reply.version,
            "cloud",
            reply.label,
            probabilities,
            reply.value,
            {},
            confidence,
            False,
        )
        served._own = local.label
        return served
