"""Who puts updates off is heard, for as long as was said, and told of once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.config import DeviceConfig
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.admission import UpdateOffer
from edge_sdk.update.gatekeeper import Gatekeeper, UpdateHooks
from edge_sdk.update.model_state import ModelState
from edge_sdk.update.state import SlotRef
from tests.clock import Clock

SERVING, NEXT, CANDIDATE = (SlotRef(f"1.{i}", str(i) * 64) for i in range(3))
LIMIT = 1_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateDatabase]:
    store = StateDatabase(tmp_path)
    yield store
    store.close()


class Door:
    """A gatekeeper and what it was told and said."""

    def __init__(self, store: StateDatabase, answer: bool | float | None) -> None:
        self.answer, self.clock = answer, Clock(1_000_000.0)
        self.offers: list[UpdateOffer] = []
        self.told: list[str] = []
        config = DeviceConfig(update_defer_seconds=LIMIT)
        self.gate = Gatekeeper(
            ModelState(store, "m"), config, UpdateHooks(self.ask), self.clock,
            lambda slot, serving, reason: self.told.append(f"{slot.version} {reason}"),
        )  # fmt: skip

    def ask(self, offer: UpdateOffer) -> bool | float | None:
        self.offers.append(offer)
        return self.answer

    def open(self, slot: SlotRef, seconds: float = 0) -> bool:
        self.clock.now += seconds
        return self.gate.ask("download", slot, SERVING) is None


def test_two_that_are_put_off_at_once_each_have_their_time_and_are_told_of_once(
    store: StateDatabase,
) -> None:
    door = Door(store, answer=False)
    for _ in range(9):
        assert [door.open(NEXT, 50), door.open(CANDIDATE, 50)] == [False, False]
    assert len(door.told) == 2
    assert door.gate.waiting is not None
    assert [door.open(NEXT, 150), door.open(CANDIDATE)] == [True, False]
    assert door.open(CANDIDATE, 50)
    assert door.gate.waiting is None


def test_one_that_named_a_time_is_not_asked_before(store: StateDatabase) -> None:
    door = Door(store, answer=300.0)
    assert not door.open(NEXT)
    assert not door.open(NEXT, 299)
    assert len(door.offers) == 1
    door.answer = True
    assert door.open(NEXT, 2)
    assert [offer.waited for offer in door.offers] == [0, 301]


def test_what_no_plan_wants_any_more_is_forgotten(store: StateDatabase) -> None:
    door = Door(store, answer=False)
    door.open(NEXT)
    door.gate.only([SERVING])
    assert door.gate.waiting is None
    assert not door.open(NEXT, LIMIT)  # wanted anew: its time begins anew
    assert len(door.told) == 2


def test_a_clock_that_goes_back_keeps_nobody_out_for_longer_than_the_limit(
    store: StateDatabase,
) -> None:
    door = Door(store, answer=False)
    assert not door.open(NEXT)
    assert not door.open(NEXT, -900_000)
    assert door.open(NEXT, LIMIT)
    assert Door(store, answer=False).gate.ask("download", NEXT, None) is None
