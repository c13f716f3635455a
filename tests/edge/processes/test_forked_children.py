"""A device without a hub in a forked child: what the application holds sleeps, then works."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.device_kinds.offline import OfflineDevice
from edge_sdk.errors import InputError
from tests.edge.builders import make_release, rows, softmax
from tests.forked import in_a_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = {"arm": 1, "leg": 2}
    return [make_release(tmp_path / name, name, seed=seed).folder for name, seed in made.items()]


def sleeps() -> bool:
    """Whether no device of this process runs; its thread is the first sign of one."""
    return threading.active_count() == 1


def test_a_model_that_was_kept_answers_with_a_session_of_the_child_and_is_counted(
    folders: list[Path],
) -> None:
    x = rows(1)[0]
    with EdgeDevice.offline(folders) as device:
        leg = device.model("leg")
        kept, stream = leg.predict, leg.stream()
        ours, service = leg.predict(x), leg._service

        def child() -> None:
            assert sleeps()
            theirs = kept(x)
            assert np.allclose(theirs.probabilities, softmax(x[None], 2)[0], atol=1e-6)
            assert theirs.id != ours.id
            assert leg._service is not service
            assert device.model("leg") is leg
            assert repr(leg) == "<DeviceModel leg 1.0>"
            leg.feedback(theirs.id, label=0)
            assert stream.predict(x).source == "model"
            with pytest.raises(InputError, match="several models, arm, leg"):
                device.predict(x)
            made = [getattr(report, "predictions", None) for report in device.reports()]
            assert {"model": 2} in made
            assert in_a_child(grandchild) == 0
            leg.predict(x)

        def grandchild() -> None:
            assert sleeps()
            assert kept(x).id.startswith(f"local.{os.getpid()}.")
            assert device.model("leg") is leg

        assert in_a_child(child) == 0
        assert leg.predict(x).id != ours.id
        assert leg._service is service


def test_a_child_that_uses_nothing_opens_nothing(folders: list[Path]) -> None:
    with EdgeDevice.offline(folders) as device:
        leg, close = device.model("leg"), device.close

        def child() -> None:
            close()  # as atexit does
            assert sleeps()
            assert in_a_child(lambda: leg.predict(rows(1)[0])) == 0
            assert sleeps()

        assert in_a_child(child) == 0


def test_a_child_of_a_child_that_answered_opens_nothing_either(folders: list[Path]) -> None:
    opened: list[int] = []

    def grandchild() -> None:
        assert not opened
        assert device.model("leg") is leg
        assert opened == [os.getpid()]

    def child() -> None:
        assert leg.predict(rows(1)[0]).source == "model"
        opened.clear()
        assert in_a_child(grandchild) == 0

    with EdgeDevice.offline(folders) as device:
        leg, real = device.model("leg"), OfflineDevice._open

        def noted(self: OfflineDevice, folder: Path, *more: Any) -> None:
            if folder == folders[0]:
                opened.append(os.getpid())
            real(self, folder, *more)

        with pytest.MonkeyPatch.context() as now:
            now.setattr(OfflineDevice, "_open", noted)
            assert in_a_child(child) == 0


def test_files_that_are_gone_are_an_error_that_says_so_each_time_until_they_are_back(
    folders: list[Path],
) -> None:
    with EdgeDevice.offline(folders) as device:
        leg = device.model("leg")

        def child() -> None:
            away = folders[1].with_name("away")
            shutil.move(folders[1], away)
            for _ in range(2):
                with pytest.raises(Exception, match="leg"):
                    leg.predict(rows(1)[0])
            assert sleeps()
            shutil.move(away, folders[1])
            assert leg.predict(rows(1)[0]).source == "model"

        assert in_a_child(child) == 0


def test_threads_that_wake_a_device_at_once_open_it_once(folders: list[Path]) -> None:
    with EdgeDevice.offline(folders) as device:
        models = [device.model(name) for name in device.models]

        def child() -> None:
            ids: list[str] = []
            threads = [
                threading.Thread(target=lambda m=m: ids.append(m.predict(rows(1)[0]).id))  # type: ignore[misc]
                for m in models * 8
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(set(ids)) == 16
            assert [t.name for t in threading.enumerate()].count("edge-fold") == 1

        assert in_a_child(child) == 0
