"""What an owner does for those who attach to it: one function for each call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import ContractError, EdgeError
from edge_sdk.processes.answers import batch_name, batch_to_plain, prediction_to_plain
from edge_sdk.processes.refusals import error_to_plain
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.model.prediction import BatchPrediction

_log = Log(__name__)

BATCHES: Final = 64
"""Batches whose ids may still be asked for; older ones are forgotten."""


class OwnerCalls:
    """Answers messages ``{"call": name, "with": {argument: value}}``.

    Args:
        device: that is run here.
        facts: what the owner knows of itself, for the status.
    """

    def __init__(self, device: EdgeDevice, facts: Callable[[], dict[str, Any]]) -> None:
        self._device = device
        self._batches: OrderedDict[str, BatchPrediction] = OrderedDict()
        self._calls: dict[str, Callable[..., Any]] = {
            "predict": self._predict,
            "predict_batch": self._predict_batch,
            "predict_ranking": lambda **options: list(
                vars(device.predict_ranking(**options)).values()
            ),
            "explain": self._explain,
            "stored_features": lambda **options: list(device.stored_features(**options)),
            "feedback": device.feedback,
            "remember": self._remember,
            "sync": lambda: vars(device.sync()),
            "status": lambda: {**device.status(), "owner": facts()},
            "logs": lambda after: [list(entry) for entry in device.logs(after)],
        }

    def answer(self, message: Any) -> dict[str, Any]:
        """Return ``{"answer": …}``, or ``{"error": …}`` where the call is refused or fails."""
        try:
            call, options = self._parsed(message)
            return {"answer": call(**options)}
        except EdgeError as error:
            return {"error": error_to_plain(error)}
        except Exception as error:  # whatever it is: the others are served on
            _log.exception("a call of an attached process failed")
            return {"error": error_to_plain(EdgeError(f"the owner could not do that; {error}"))}

    def _parsed(self, message: Any) -> tuple[Callable[..., Any], Mapping[str, Any]]:
        name = message.get("call") if isinstance(message, dict) else None
        options = message.get("with") if isinstance(message, dict) else None
        call = self._calls.get(name) if isinstance(name, str) else None
        if call is None or not isinstance(options, dict):
            raise ContractError(f"expected a call of {', '.join(self._calls)}, got {name!r:.60}")
        return call, options

    def _predict(self, **options: Any) -> list[Any]:
        return prediction_to_plain(self._device.predict(**options))

    def _predict_batch(self, **options: Any) -> list[Any]:
        batch = self._device.predict_batch(**options)
        self._batches[batch_name(batch)] = batch
        while len(self._batches) > BATCHES:
            self._batches.popitem(last=False)
        return batch_to_plain(batch)

    def _remember(self, batch: str) -> None:
        made = self._batches.pop(batch, None)
        if made is not None:
            made._remember()

    def _explain(self, **options: Any) -> dict[str, Any]:
        explanation = self._device.explain(**options)
        return {field.name: getattr(explanation, field.name) for field in fields(explanation)}
