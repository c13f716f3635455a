"""The models of a device as the protocol finds them: by name, and on the binary path by number."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import EdgeError, ReleaseError, StateError
from edge_sdk.local_server.refusal import (
    NOT_FOUND,
    NOT_IMPLEMENTED,
    UNAVAILABLE,
    RequestRefused,
)
from edge_sdk.local_server.release_tensors import ReleaseTensors
from edge_sdk.local_server.sequences import Sequences

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.fleet.model_calls import ModelCalls
    from edge_sdk.serving.stream import Stream

OWN: Final = 0
"""Number of the device's own model: the only one, or the one that it was opened with."""


class ServedModel:
    """One model of a device.

    Args:
        name: of the model.
        calls: answers.

    Attributes:
        name: of the model.
        calls: answers.
        sequences: that run on it.
    """

    def __init__(self, name: str, calls: ModelCalls) -> None:
        self.name = name
        self.calls = calls
        self.sequences = Sequences(self._begin)
        self._tensors: ReleaseTensors | None = None

    def tensors(self, version: str | None = None) -> ReleaseTensors:
        """Return inputs and outputs of the release that serves.

        Args:
            version: that the client asks for; ``None`` for whichever serves.

        Raises:
            RequestRefused: it is another one that serves, or none does.
        """
        try:
            manifest = self.calls.manifest
        except ReleaseError as error:
            raise RequestRefused(UNAVAILABLE, str(error)) from error
        known = self._tensors
        if known is None or known.manifest is not manifest:
            known = self._tensors = ReleaseTensors(manifest)
        if version not in (None, manifest.version):
            raise RequestRefused(
                NOT_FOUND,
                f"version {version!r:.80} of {manifest.model!r} does not serve here; "
                f"{manifest.version!r} does",
            )
        return known

    def why_not_ready(self) -> str | None:
        """Return why no release serves; ``None`` if one does."""
        try:
            self.tensors()
        except EdgeError as error:
            return str(error)
        return None

    def metadata(self) -> dict[str, Any]:
        """Return its metadata; without a release its name, and why."""
        reason = self.why_not_ready()
        if reason is not None:
            return {"name": self.name, "versions": [], "reason": reason}
        return self.tensors().metadata()

    def in_index(self) -> dict[str, Any]:
        """Return what the protocol's index of models says of it."""
        reason = self.why_not_ready()
        if reason is not None:
            return {"name": self.name, "state": "UNAVAILABLE", "reason": reason}
        version = self.tensors().manifest.version
        return {"name": self.name, "version": version, "state": "READY", "reason": ""}

    def _begin(self) -> Stream:
        try:
            return self.calls.stream()
        except StateError as error:  # another process runs the model
            raise RequestRefused(NOT_IMPLEMENTED, str(error)) from error


class ServedModels:
    """The models of a device. One that joins later is found when somebody asks for it.

    Args:
        device: whose models they are.
    """

    def __init__(self, device: EdgeDevice) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._by_name: dict[str, ServedModel] = {}

    def all(self) -> list[ServedModel]:
        """Return all of them, the first of which has the number 1; numbers stay what they are.

        Raises:
            StateError: another process ran the device, and has ended before any model was asked.
        """
        with self._lock:
            try:
                for name in self._device.models:
                    if name not in self._by_name:
                        self._by_name[name] = ServedModel(name, self._device.model(name))
            except StateError:  # another process ran the device, and has ended
                if not self._by_name:
                    raise
            return list(self._by_name.values())

    def named(self, name: str) -> ServedModel:
        """Return the model of a name.

        Raises:
            RequestRefused: it is not on this device.
        """
        found = self._by_name.get(name)
        if found is None:
            here = [model.name for model in self.all()]
            found = self._by_name.get(name)
            if found is None:
                raise RequestRefused(
                    NOT_FOUND, f"there is no model {name!r:.80} here, but {', '.join(here)}"
                )
        return found

    def numbered(self, number: int) -> ServedModel:
        """Return a model by its number; :data:`OWN` is the device's own.

        Raises:
            RequestRefused: there is none, or its release does not serve yet.
            InputError: the device has several models, and none is its own.
        """
        if number == OWN:
            try:
                return self.named(self._device.manifest.model)
            except ReleaseError as error:
                raise RequestRefused(UNAVAILABLE, str(error)) from error
        models = self.all()
        if number > len(models):
            raise RequestRefused(
                NOT_FOUND, f"there is no model number {number} here, but {len(models)} models"
            )
        return models[number - 1]
