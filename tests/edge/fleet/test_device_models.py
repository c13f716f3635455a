"""The models on one device: what goes wrong with one of them, and what only one thread does."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from edge_sdk.errors import StateError
from edge_sdk.fleet.device_models import DeviceModels
from edge_sdk.fleet.rollout import RolloutController


class Folding:
    """A model that is folded, or fails."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self._error = name, error
        self.folded = False

    def fold(self) -> None:
        self.folded = True
        if self._error is not None:
            raise self._error


def test_all_models_are_folded_and_every_failure_is_raised_or_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    models: Any = DeviceModels()
    made = [
        Folding("eyes", StateError("of eyes")),
        Folding("ears", ValueError("of ears")),
        Folding("nose"),
    ]
    for each in made:
        models.add(each)
    with pytest.raises(StateError, match="of eyes"):
        models.fold()
    assert all(each.folded for each in made)
    assert "ears: its telemetry failed, too" in caplog.text
    assert "of ears" in caplog.text


def test_a_provider_that_another_thread_has_left_is_not_given_up_again() -> None:
    rollout: Any = object.__new__(RolloutController)
    failed = SimpleNamespace(model=SimpleNamespace(provider="CUDAExecutionProvider"))
    given_up: list[str] = []

    def give_up(slot: str, reason: str) -> bool:
        given_up.append(reason)
        return True

    rollout._lock = threading.RLock()
    rollout._updater = SimpleNamespace(slot=lambda: "slot")
    rollout._service = SimpleNamespace(serving=SimpleNamespace())
    rollout._link = SimpleNamespace(certifier=SimpleNamespace(give_up=give_up))
    assert rollout._leave_provider(failed, "it gave up")
    assert given_up == []
