"""Labelled inputs that the owner of a device agreed to share, at most so many a window.

Invariants:

* Nothing leaves that the plan does not ask for, and nothing without the owner's word.
* Inputs of tensors are held in memory alone, the newest :data:`HELD_BYTES`, until their label
  comes; of one whose label comes later the label counts, and the input is gone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.dtypes import STRING
from edge_sdk.contract.limits import SAMPLES_PER_MESSAGE, TENSOR_SAMPLE_BYTES, TENSOR_VALUE_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_sdk.contract.manifest import Label, Manifest
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.serving_terms import Sharing
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.telemetry.label_join import Place

    Feed = Mapping[str, NDArray[Any]]

HELD_BYTES: Final = 32 << 20
"""Values of inputs that wait for labels."""

SharedRow = tuple[tuple[Any, ...], "Label | float", int]
"""Feature values, label, and when it was predicted (Unix seconds)."""


class SharedInputs:
    """Nothing is shared; others share rows or tensors.

    Attributes:
        rows: feature values are remembered with each prediction.
        taps: called with each input that monitoring does not record, and its prediction.
    """

    rows = False
    taps: tuple[Callable[[Any, Prediction], None], ...] = ()

    def keep(self, window: int, place: Place, label: Label | float) -> None:
        """Share an input, if it was kept and the caps of the window allow.

        Args:
            window: in which the label came, its start in Unix seconds.
            place: of the prediction.
            label: that came for it.
        """

    def take(self) -> list[Body]:
        """Return messages with what was shared since the last call."""
        return []


# ruff: noqa: D102 - what the methods below do is said above


class SharedRows(SharedInputs):
    """Rows of a table.

    Args:
        manifest: of the release.
        sharing: the cap.
    """

    rows = True

    def __init__(self, manifest: Manifest, sharing: Sharing) -> None:
        self._manifest, self._sharing = manifest, sharing
        self._window, self._count = 0, 0
        self._rows: list[SharedRow] = []

    def keep(self, window: int, place: Place, label: Label | float) -> None:
        if place.row is None:
            return
        if window != self._window:
            self._window, self._count = window, 0
        if self._count < self._sharing.per_window:
            self._count += 1
            self._rows.append((place.row, label, place.taken))

    def take(self) -> list[Body]:
        rows, self._rows = self._rows, []
        return list(self._batches(rows))

    def _batches(self, shared: list[SharedRow]) -> Iterator[Body]:
        from edge_sdk.contract.messages import SampleBatch

        manifest = self._manifest
        for first in range(0, len(shared), SAMPLES_PER_MESSAGE):
            part = shared[first : first + SAMPLES_PER_MESSAGE]
            rows, labels, taken = zip(*part, strict=True)
            yield SampleBatch(manifest.model, manifest.version, rows, labels, taken)


class SharedTensors(SharedInputs):
    """Inputs that are no table.

    Args:
        manifest: of the release.
        sharing: the caps.
    """

    def __init__(self, manifest: Manifest, sharing: Sharing) -> None:
        self._manifest, self._sharing = manifest, sharing
        self.taps = (self.hold,)
        self._held: OrderedDict[int | str, Feed] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()  # predictions hold, in any thread; labels take
        self._window, self._count, self._sent = 0, 0, 0
        self._shared: list[Body] = []

    def hold(self, feed: Feed, prediction: Prediction) -> None:
        """Hold an input until its label comes, or newer ones need the room."""
        size = _bytes(feed)
        if size > TENSOR_VALUE_BYTES:
            return
        copy = {name: tensor.copy() for name, tensor in feed.items()}  # the application's, perhaps
        with self._lock:
            self._held[prediction._number] = copy
            self._bytes += size
            while self._bytes > HELD_BYTES:
                self._bytes -= _bytes(self._held.popitem(last=False)[1])

    def keep(self, window: int, place: Place, label: Label | float) -> None:
        with self._lock:
            feed = self._held.pop(int(place.name), None) if place.name.isdecimal() else None
            if feed is None:
                return
            self._bytes -= _bytes(feed)
        if window != self._window:
            self._window, self._count, self._sent = window, 0, 0
        most = min(self._sharing.tensor_bytes - self._sent, TENSOR_SAMPLE_BYTES)
        if self._count >= self._sharing.per_window or most <= 0:
            return
        from edge_sdk.telemetry.tensor_blobs import packed  # not needed at start

        data = packed(feed)
        size = len(data) * 3 // 4
        if size <= most:
            self._count, self._sent = self._count + 1, self._sent + size
            self._shared.append(self._sample(feed, data, label, place.taken))

    def _sample(self, feed: Feed, data: str, label: Label | float, taken: int) -> Body:
        from edge_sdk.contract.messages import TensorSample

        shapes = {name: tensor.shape for name, tensor in feed.items()}
        manifest = self._manifest
        return TensorSample(manifest.model, manifest.version, shapes, data, label, taken)

    def take(self) -> list[Body]:
        shared, self._shared = self._shared, []
        return shared


def _bytes(feed: Feed) -> int:
    return sum(tensor.nbytes for tensor in feed.values())


def shared_inputs(manifest: Manifest, sharing: Sharing) -> SharedInputs:
    """Return what is shared of a release: rows, tensors, or nothing.

    Args:
        manifest: of the release.
        sharing: what the plan asks for, and the owner agreed to.
    """
    if not sharing.samples or manifest.task == "multilabel":
        return SharedInputs()  # retraining takes one label an input
    signature = manifest.signature
    if signature.columns:
        return SharedRows(manifest, sharing)
    texts = any(tensor.dtype == STRING for tensor in signature.application_inputs)
    # An input of a sequence means nothing without those before it.
    if not sharing.tensor_bytes or signature.state or texts:
        return SharedInputs()
    return SharedTensors(manifest, sharing)
