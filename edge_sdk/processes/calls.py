"""What an owner does for those who attach to it: one function for each call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import ContractError, EdgeError
from edge_sdk.processes.answers import batch_name, batch_to_plain, prediction_to_plain
from edge_sdk.processes.refusals import error_to_plain
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.fleet.device_model import DeviceModel
    from edge_sdk.fleet.model_calls import ModelCalls
    from edge_sdk.model.prediction import BatchPrediction

_log = Log(__name__)

BATCHES: Final = 64
"""Batches whose ids may still be asked for; older ones are forgotten."""

BATCH_BYTES: Final = 16 << 20
"""Bytes of their answers together, beside those of the newest."""


class OwnerCalls:
    """Answers messages ``{"call": name, "with": {argument: value}}``; one with ``"model"`` is for
    the model of that name, else the device itself answers.

    Args:
        device: that is run here.
        facts: what the owner knows of itself, for the status.
    """

    def __init__(self, device: EdgeDevice, facts: Callable[[], dict[str, Any]]) -> None:
        self._device = device
        self._facts = facts
        self._batches: OrderedDict[str, BatchPrediction] = OrderedDict()
        self._batches_lock = threading.Lock()
        self._of_models: dict[str, Callable[..., Any]] = {
            "predict": _predict,
            "predict_batch": self._predict_batch,
            "predict_ranking": _predict_ranking,
            "explain": _explain,
            "stored_features": _stored_features,
            "session_event": lambda of, **options: of.session_event(**options),
            "session_features": lambda of, unit: of.session_features(unit),
            "end_session": lambda of, unit: of.end_session(unit),
            "feedback": _feedback,
            "forget": lambda of, unit: of.forget(unit),
            "manifest": _manifest,
            "status": self._status,
        }
        self._of_the_device: dict[str, Callable[..., Any]] = {
            "remember": self._remember,
            "models": lambda: list(device.models),
            "join": lambda model, **options: device.join(model, **options).name,
            "sync": lambda: vars(device.sync()),
            "logs": lambda after: [list(entry) for entry in device.logs(after)],
        }

    def answer(self, message: Any) -> dict[str, Any]:
        """Return ``{"answer": …}``, or ``{"error": …}`` where the call is refused or fails."""
        try:
            return {"answer": self._answered(message)}
        except EdgeError as error:
            return {"error": error_to_plain(error)}
        except Exception as error:  # whatever it is: the others are served on
            _log.exception("a call of an attached process failed")
            return {"error": error_to_plain(EdgeError(f"the owner could not do that; {error}"))}

    def _answered(self, message: Any) -> Any:
        told = message if isinstance(message, dict) else {}
        name, options, model = told.get("call"), told.get("with"), told.get("model")
        if isinstance(name, str) and isinstance(options, dict):
            if (call := self._of_models.get(name)) is not None:
                return call(self._device if model is None else self._device.model(model), **options)
            if (call := self._of_the_device.get(name)) is not None:
                return call(**options)
        known = ", ".join([*self._of_models, *self._of_the_device])
        raise ContractError(f"expected a call of {known}, got {name!r:.60}")

    def _predict_batch(self, of: ModelCalls, **options: Any) -> list[Any]:
        batch = of.predict_batch(**options)
        with self._batches_lock:
            older = sum(map(_bytes_of, self._batches.values()))
            while self._batches and (len(self._batches) >= BATCHES or older > BATCH_BYTES):
                older -= _bytes_of(self._batches.popitem(last=False)[1])
            self._batches[batch_name(batch)] = batch
        return batch_to_plain(batch)

    def _remember(self, batch: str) -> None:
        with self._batches_lock:
            made = self._batches.pop(batch, None)
        if made is not None:
            made._remember()

    def _status(self, of: EdgeDevice | DeviceModel) -> dict[str, Any]:
        return {**of.status(), "owner": self._facts()}


def _bytes_of(batch: BatchPrediction) -> int:
    return sum(array.nbytes for array in batch.outputs.values())


def _predict(of: ModelCalls, **options: Any) -> list[Any]:
    return prediction_to_plain(of.predict(**options))


def _predict_ranking(of: ModelCalls, **options: Any) -> list[Any]:
    return list(vars(of.predict_ranking(**options)).values())


def _explain(of: ModelCalls, **options: Any) -> dict[str, Any]:
    explanation = of.explain(**options)
    return {field.name: getattr(explanation, field.name) for field in fields(explanation)}


def _stored_features(of: ModelCalls, **options: Any) -> list[Any]:
    return list(of.stored_features(**options))


def _feedback(of: ModelCalls, **options: Any) -> None:
    of.feedback(**options)


def _manifest(of: ModelCalls) -> str:
    return of.manifest.to_json().decode()
