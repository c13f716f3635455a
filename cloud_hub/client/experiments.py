"""Experiments from Python: the calls of ``edge-hub experiments`` on an administrator's client."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.text.yaml import text_of


class HubRequests(Protocol):
    """Requests to a hub, as :class:`cloud_hub.client.admin.AdminClient` makes them."""

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET."""

    def post(self, path: str, data: bytes | None = None, **query: Any) -> Any:
        """Return the JSON of a POST."""

    def text(self, path: str) -> str:
        """Return the text of a GET."""


class ExperimentsClient:
    """Experiments of one hub.

    Every method raises :class:`cloud_hub.errors.HubFault` where the hub refuses, and returns plain
    JSON. ``declared`` is the path of an ``experiment.yaml``, or its text. ``id_`` is the name that
    the hub gave the experiment; ``reason`` stays on its record.
    """

    def __init__(self, hub: HubRequests) -> None:
        self._hub = hub

    def plan(self, declared: str | Path, *, power: float = 0.8) -> Any:
        """Return how much an experiment needs and how long it takes; start nothing."""
        text, model = _read(declared)
        return self._hub.post(f"models/{model}/experiments/plan", text, power=power)

    def start(self, declared: str | Path) -> Any:
        """Start an experiment; return its state, with its ``id``."""
        text, model = _read(declared)
        return self._hub.post(f"models/{model}/experiments", text)

    def of_model(self, model: str) -> Any:
        """Return every experiment of a model, oldest first."""
        return self._hub.get(f"models/{model}/experiments")

    def status(self, id_: str) -> Any:
        """Return the state of an experiment."""
        return self._hub.get(f"experiments/{id_}")

    def pause(self, id_: str, reason: str = "by hand") -> Any:
        """Let nobody enter; devices that are in stay in."""
        return self._hub.post(f"experiments/{id_}/pause", reason=reason)

    def resume(self, id_: str, reason: str = "by hand") -> Any:
        """Go on; failures until now are acknowledged."""
        return self._hub.post(f"experiments/{id_}/resume", reason=reason)

    def stop(self, id_: str, reason: str = "by hand") -> Any:
        """End it; everybody gets what serves."""
        return self._hub.post(f"experiments/{id_}/stop", reason=reason)

    def drop(self, id_: str, arm: str, reason: str = "by hand") -> Any:
        """Take an arm of an A/B/n test back; the others go on.

        Args:
            id_: experiment.
            arm: name of the arm.
            reason: why.
        """
        return self._hub.post(f"experiments/{id_}/drop", reason=reason, arm=arm)

    def promote(self, id_: str, reason: str = "by hand", arm: str | None = None) -> Any:
        """Let the winner, or ``arm``, serve everybody.

        Args:
            id_: experiment.
            reason: why.
            arm: name of an arm; needed where several are left and none has won.
        """
        return self._hub.post(f"experiments/{id_}/promote", reason=reason, arm=arm)

    def report(self, id_: str) -> Any:
        """Return everything that was seen and decided, over time."""
        return self._hub.get(f"experiments/{id_}/report")

    def page(self, id_: str) -> str:
        """Return the report as one HTML page."""
        return self._hub.text(f"experiments/{id_}/report.html")


def _read(declared: str | Path) -> tuple[bytes, str]:
    """Return the text and its model; mistakes are refused here, with their lines."""
    # A declaration has several lines, a path has one.
    if isinstance(declared, Path) or "\n" not in declared:
        path = Path(declared)
        text, name = text_of(path.read_bytes(), str(path)), str(path)
    else:
        text, name = declared, "experiment.yaml"
    return text.encode(), parse_experiment(text, name).model
