"""AsyncEdgeDevice on a real release: where calls run, what a cancelled task leaves, the bounds."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import AsyncEdgeDevice, EdgeDevice
from edge_sdk.aio.inline import LONGEST, InlineRule
from edge_sdk.aio.turns import Turns
from edge_sdk.errors import InputError, ReleaseError, StateError
from tests.edge.builders import make_release, rows, softmax
from tests.waiting import PATIENCE

SLOW = 1.0
"""Seconds: no thread hop takes so long, so every prediction of a rule with it runs inline."""


def test_answers_are_those_of_the_device_wherever_they_run(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folder) as device:
            for inline in (True, False):
                device._rule.hop = SLOW if inline else 0.0
                for row, expected in zip(rows(5), softmax(rows(5), 0), strict=True):
                    p = await device.predict(row)
                    assert np.allclose(p.probabilities, expected, atol=1e-6)
                    await device.feedback(p.id, label=int(p.label or 0))
            batch = await device.predict_batch(rows(7))
            assert len(batch) == 7
            assert (await device.explain(rows(1)[0])).parts.keys() == {"f0", "f1", "f2", "f3"}
            with pytest.raises(InputError, match="expected 4 features"):
                await device.predict([1])
            assert (await device.status())["offline"] is True
            assert sum(r.predictions["model"] for r in device.device.reports()[:1]) == 17

    asyncio.run(main())


def test_a_quick_prediction_runs_in_the_loop_and_a_slow_one_on_a_thread(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    ran: list[str] = []

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folder) as device:
            real = device.device.predict

            def noted(*values: Any, **options: Any) -> Any:
                ran.append(threading.current_thread().name)
                return real(*values, **options)

            device.device.predict = noted  # type: ignore[method-assign]
            device._rule = InlineRule(LONGEST)
            device._rule.took(1e-5)
            await device.predict(rows(1)[0])
            device._rule.took(1.0)
            await device.predict(rows(1)[0])

    asyncio.run(main())
    assert ran[0] == threading.main_thread().name
    assert ran[1].startswith("edge-async")


def test_the_rule_begins_on_threads_and_one_slow_call_goes_back_to_them() -> None:
    rule = InlineRule(100e-6)
    assert not rule.runs_inline()
    rule.took(10e-6)
    assert rule.runs_inline()
    rule.took(50e-3)
    calls = 0
    while not rule.runs_inline():
        rule.took(10e-6)
        calls += 1
    assert 10 < calls < 100
    assert InlineRule(1.0).hop == LONGEST


def test_a_cancelled_task_loses_nothing(tmp_path: Path) -> None:
    """A label whose task is cancelled has been reported; predictions are counted."""
    folder = make_release(tmp_path).folder

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folder, threads=1) as device:
            device._rule.hop = 0.0
            p = await device.predict(rows(1)[0])
            gate = threading.Event()
            blocker = asyncio.ensure_future(device._turns.run(gate.wait))
            tasks = [asyncio.ensure_future(device.predict(row)) for row in rows(9)]
            tasks.append(asyncio.ensure_future(device.feedback(p.id, label=1)))
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in done)
            gate.set()
            await blocker
            await asyncio.gather(*device._turns._pending)
            assert device.device.reports()[0].predictions == {"model": 10}  # type: ignore[union-attr]
            with pytest.raises(InputError, match="has its label already"):
                await device.feedback(p.id, label=1)

    asyncio.run(main())


def test_no_more_than_the_bound_wait_for_a_thread_and_all_are_answered(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folder, threads=2, waiting=3) as device:
            device._rule.hop = 0.0
            gate = threading.Event()
            blockers = [asyncio.ensure_future(device._turns.run(gate.wait)) for _ in range(2)]
            tasks = [asyncio.ensure_future(device.predict(row)) for row in rows(100)]
            await asyncio.sleep(0.05)
            assert len(device._turns._pending) == 5
            tasks[-1].cancel()  # it has not begun, and takes nobody's place
            gate.set()
            done = await asyncio.gather(*blockers, *tasks, return_exceptions=True)
            assert [type(d) for d in done].count(asyncio.CancelledError) == 1
            assert device.device.reports()[0].predictions == {"model": 99}  # type: ignore[union-attr]

    asyncio.run(main())


def test_closing_waits_for_what_was_begun_though_its_own_task_is_cancelled(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    opened = AsyncEdgeDevice.offline(folder)
    ended: list[str] = []
    begun = threading.Event()

    def call() -> None:
        begun.set()
        time.sleep(0.2)
        ended.append("call")

    async def use() -> None:
        async with opened as device:
            real = device.device.close
            device.device.close = lambda timeout: (real(timeout), ended.append("closed"))[0]  # type: ignore[method-assign]
            asyncio.ensure_future(device._turns.run(call))  # noqa: RUF006 - nobody waits for it
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.ensure_future(use())
        await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["call", "closed"]
    with pytest.raises(StateError, match="not open"):
        _ = opened.device


def test_what_cannot_be_opened_is_one_error(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ReleaseError):
            async with AsyncEdgeDevice.offline(tmp_path / "missing"):
                pass
        with pytest.raises(StateError, match="no process runs this device"):
            async with AsyncEdgeDevice.attach(tmp_path):
                pass

    asyncio.run(main())
    for wrong in (0, -1, True, "2"):
        with pytest.raises(StateError, match="threads: expected at least 1"):
            AsyncEdgeDevice(tmp_path, threads=wrong)  # type: ignore[arg-type]
    with pytest.raises(StateError, match="not open"):
        asyncio.run(AsyncEdgeDevice.offline(tmp_path).predict([1]))


def test_a_sync_that_hangs_holds_up_neither_the_status_nor_the_end(tmp_path: Path) -> None:
    folder, go_on = make_release(tmp_path).folder, threading.Event()

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folder) as device:
            real = device.device.close
            device.device.close = lambda timeout: (go_on.set(), real(timeout))[1]  # type: ignore[method-assign]
            syncing = asyncio.ensure_future(device._turns.run(go_on.wait, slow=True))
            await asyncio.sleep(0)
            assert (await device.status())["offline"]
            assert (await device.model("demo").status())["version"] == "1.0"
            await device.close(timeout=0.1)
        assert await syncing

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_call_whose_turn_comes_after_the_end_and_another_opening_are_refused(
    tmp_path: Path,
) -> None:
    device = AsyncEdgeDevice.offline(make_release(tmp_path).folder, threads=1, waiting=1)
    go_on = threading.Event()

    async def main() -> None:
        async with device:
            device._rule.hop = 0.0
            begun = [asyncio.ensure_future(device._turns.run(go_on.wait)) for _ in range(2)]
            late = [asyncio.ensure_future(device.predict(rows(1)[0])) for _ in range(3)]
            await asyncio.sleep(0)
            await device.close(timeout=0.01)
            go_on.set()
            await asyncio.gather(*begun)
            for each in late:
                with pytest.raises(StateError, match="closed: open another"):
                    await each
        with pytest.raises(StateError, match="closed: open another"):
            async with device:
                pass

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_task_that_is_cancelled_as_it_opens_a_device_leaves_none_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[AsyncEdgeDevice] = []
    closed = threading.Event()
    close = EdgeDevice.close

    async def use() -> None:
        device = AsyncEdgeDevice.offline(make_release(tmp_path).folder)
        opened.append(device)
        async with device:
            raise AssertionError("it was cancelled")

    async def main() -> None:
        measuring = asyncio.Event()

        async def hop(_: Turns) -> float:
            measuring.set()
            await asyncio.sleep(PATIENCE)
            return 0.0

        monkeypatch.setattr(Turns, "hop", hop)
        monkeypatch.setattr(EdgeDevice, "close", lambda device: (close(device), closed.set())[0])
        task = asyncio.ensure_future(use())
        await measuring.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(closed.wait, PATIENCE)

    asyncio.run(main())
    assert closed.is_set()
    with pytest.raises(StateError, match="not open"):
        _ = opened[0].device


def test_the_loop_turns_while_a_device_is_opened_and_asked(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main() -> None:
        turning = asyncio.ensure_future(turn())
        async with AsyncEdgeDevice.offline(folder) as device:
            opened = turns
            await device._turns.run(lambda: time.sleep(0.2))
        turning.cancel()
        assert opened > 10
        assert turns > opened + 10

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_an_offline_device_answers_in_a_forked_child_with_threads_of_its_own(
    tmp_path: Path, threads: int
) -> None:
    """Threads of the parent, its telemetry's and onnxruntime's, do not exist in a child."""
    from edge_sdk import EdgeDevice
    from edge_sdk.config import DeviceConfig

    folder = make_release(tmp_path).folder
    with EdgeDevice.offline(folder, config=DeviceConfig(threads=threads)) as device:
        ours = device.predict(rows(1)[0])
        kept = device.predict  # a method that is kept across the fork works, too
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            code = 1
            try:
                theirs = kept(rows(1)[0])
                names = {thread.name for thread in threading.enumerate()}
                sound = np.allclose(theirs.probabilities, ours.probabilities)
                (report, *_) = device.reports()
                counted = report.predictions == {"model": 1}  # type: ignore[union-attr]
                if sound and counted and theirs.id != ours.id and "edge-fold" in names:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert device.predict(rows(1)[0]).id != ours.id


def test_each_of_several_models_answers_with_a_rule_of_its_own(tmp_path: Path) -> None:
    made = {"arm": 1, "leg": 2}
    folders = [make_release(tmp_path / name, name, seed=seed).folder for name, seed in made.items()]
    x = rows(1)[0]

    async def main() -> None:
        async with AsyncEdgeDevice.offline(folders) as device:
            for name, seed in made.items():
                model = device.model(name)
                assert model is device.model(name)
                for hop in (SLOW, 0.0):
                    model._rule.hop = hop
                    p = await model.predict(x)
                    assert np.allclose(p.probabilities, softmax(x[None], seed)[0], atol=1e-6)
                await device.feedback(p.id, label=0)
                assert len(await model.predict_batch(rows(3))) == 3
                assert (await model.explain(x)).parts.keys() == {"f0", "f1", "f2", "f3"}
                assert (await model.status())["version"] == "1.0"
            assert device.model("arm")._rule.expected != device.model("leg")._rule.expected
            with pytest.raises(InputError, match="several models, arm, leg"):
                await device.predict(x)
            with pytest.raises(InputError, match="expected one of arm, leg, got 'toe'"):
                await device.model("toe").predict(x)
            with pytest.raises(InputError, match="expected the name of a model, got None"):
                device.model(None)  # type: ignore[arg-type]
            with pytest.raises(StateError, match="no hub to join"):
                await device.join("toe")
            kept = device.model("arm")
            begun = [asyncio.ensure_future(kept.predict(x)) for _ in range(20)]
            await asyncio.sleep(0)
        assert len({(await each).id for each in begun}) == 20  # those that were begun are finished
        for model in (kept, device):
            with pytest.raises(StateError, match="not open"):
                await model.predict(x)

    asyncio.run(main())
