"""Work for many at once: lookups of credentials, check-ins in one transaction."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.polls.together import Together
from edge_sdk.contract.fleet import CheckIn, ReportedState
from tests.simulated_device import enrolled


def test_those_who_come_while_work_is_under_way_are_done_together() -> None:
    batches: list[list[str]] = []
    go_on = threading.Event()

    def work(items: Sequence[str]) -> list[str]:
        batches.append(list(items))
        go_on.wait(60)
        if "bad" in items:
            raise ValueError("bad")
        return [item.upper() for item in items]

    async def all_at_once() -> list[object]:
        together = Together(work, at_once=3)
        first = asyncio.create_task(together.ask("a"))
        while not batches:
            await asyncio.sleep(0)
        others = [asyncio.create_task(together.ask(item)) for item in ("b", "c", "d", "bad", "e")]
        await asyncio.sleep(0)
        others[2].cancel()  # whoever hangs up takes nothing from the others
        go_on.set()
        done: list[object] = await asyncio.gather(first, *others, return_exceptions=True)
        return done

    done = asyncio.run(all_at_once())
    assert batches == [["a"], ["b", "c", "d"], ["bad", "e"]]
    assert done[:3] == ["A", "B", "C"]
    assert isinstance(done[3], asyncio.CancelledError)
    assert [str(error) for error in done[4:]] == ["bad", "bad"]


@pytest.mark.parametrize("order", [1, -1])
def test_check_ins_of_several_devices_are_noted_together(inner: Hub, order: int) -> None:
    token = inner.fleet.new_token("demo", "other", uses=2, seconds=60, actor="ann")
    said = []
    for number in range(2):
        name = enrolled(inner, token)
        states = {
            "demo": ReportedState("1.0", plan=number, failed=("a" * 64,)),
            "other": ReportedState("2.0", runs_on={"variant": "int8"}),
        }
        checkin = CheckIn(states, {"region": "eu"}, waiting=number, software={"python": "3"})
        said.append((EnrolledDevice(name, ("demo", "other")), checkin))
    assert inner.fleet.check_in_all(said[::order]) == [None, None]
    records = {(r.device, r.model): r for r in inner.fleet.devices()}
    for number, (device, _) in enumerate(said):
        demo, other = (records[device.device, model] for model in ("demo", "other"))
        assert (demo.version, demo.plan, demo.failed) == ("1.0", number, ["a" * 64])
        assert (other.version, other.plan, other.failed) == ("2.0", 0, [])
        assert other.software == {"python": "3", "variant": "int8"}
        assert {demo.waiting, other.waiting} == {number}
        assert demo.attributes == {"region": "eu"}
    assert inner.fleet.check_in_all([]) == []
