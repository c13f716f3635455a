"""Experiments from Python: the calls of ``edge-hub experiments`` on an administrator's client."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.text.yaml import text_of


class Asks(Protocol):
    """What asks the hub: :class:`cloud_hub.client.admin.AdminClient`."""

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET."""

    def post(self, path: str, data: bytes | None = None, **query: Any) -> Any:
        """The JSON of a POST."""

    def text(self, path: str) -> str:
        """The text of a GET."""


class ExperimentsClient:
    """Experiments of one hub.

    Every method raises :class:`cloud_hub.errors.HubFault` where the hub refuses. ``declared`` is
    the path of an ``experiment.yaml``, or its text.
    """

    def __init__(self, hub: Asks) -> None:
        self._hub = hub

    def plan(self, declared: str | Path, *, power: float = 0.8) -> Any:
        """What it needs, and about how long it takes; starts nothing."""
        text, model = _read(declared)
        return self._hub.post(f"models/{model}/experiments/plan", text, power=power)

    def start(self, declared: str | Path) -> Any:
        """Start it; how it stands, with its ``id``."""
        text, model = _read(declared)
        return self._hub.post(f"models/{model}/experiments", text)

    def of_model(self, model: str) -> Any:
        """Every experiment of a model, oldest first."""
        return self._hub.get(f"models/{model}/experiments")

    def status(self, id_: str) -> Any:
        """How it stands."""
        return self._hub.get(f"experiments/{id_}")

    def pause(self, id_: str, reason: str = "by hand") -> Any:
        """Nobody enters; who is in stays in."""
        return self._hub.post(f"experiments/{id_}/pause", reason=reason)

    def resume(self, id_: str, reason: str = "by hand") -> Any:
        """Go on; what failed until now is acknowledged."""
        return self._hub.post(f"experiments/{id_}/resume", reason=reason)

    def stop(self, id_: str, reason: str = "by hand") -> Any:
        """End it; everybody gets what serves."""
        return self._hub.post(f"experiments/{id_}/stop", reason=reason)

    def drop(self, id_: str, arm: str, reason: str = "by hand") -> Any:
        """Take an arm of an A/B/n test back; the others go on."""
        return self._hub.post(f"experiments/{id_}/drop", reason=reason, arm=arm)

    def promote(self, id_: str, reason: str = "by hand", arm: str | None = None) -> Any:
        """Let the winner, or ``arm``, serve everybody."""
        return self._hub.post(f"experiments/{id_}/promote", reason=reason, arm=arm)

    def report(self, id_: str) -> Any:
        """Everything that was seen and decided, over time, as plain JSON."""
        return self._hub.get(f"experiments/{id_}/report")

    def page(self, id_: str) -> str:
        """The report as one HTML page."""
        return self._hub.text(f"experiments/{id_}/report.html")


def _read(declared: str | Path) -> tuple[bytes, str]:
    """The text and its model; refused here, with the line, if it means nothing."""
    if isinstance(declared, Path) or "\n" not in declared:
        path = Path(declared)
        text, name = text_of(path.read_bytes(), str(path)), str(path)
    else:
        text, name = declared, "experiment.yaml"
    return text.encode(), parse_experiment(text, name).model
