"""The Python of the pages about devices runs on a device of a real hub; the rest says why not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.servers import HubProcess
from tests.structure import ROOT

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```python(?: .*?)?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
HERE: Final = {
    "COLD_START.md": 1, "DEVICES.md": 1, "LOCAL_SERVER.md": 1, "MONITORING.md": 1,
    "OBSERVABILITY.md": 1, "PROCESSES.md": 2, "UPDATES.md": 1,
}  # fmt: skip
"""Pages, and how many of their blocks run here."""

ELSEWHERE: Final = ("NETWORKS.md", "STATISTICAL_METHODS.md", "TENSORS.md")
"""``tests/test_docs.py`` and ``tests/hub/statistics/test_methods_page.py`` run these."""

PICTURE: Final = rows(1)[0]


def python_of(page: str) -> list[str]:
    """Return the blocks of a page that do not say why they are not run."""
    found = BLOCK.finditer((ROOT / "docs" / page).read_text())
    return [each["text"] for each in found if each["why"] is None]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_python_that_no_test_runs_says_why(page: str) -> None:
    if page not in ELSEWHERE:
        assert len(python_of(page)) == HERE.get(page, 0)


@pytest.fixture
def device(
    hub: HubProcess, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EdgeDevice]:
    """A device of ``digits`` and ``detector`` in ``state/``, whose background work is asleep."""
    monkeypatch.chdir(tmp_path)
    publish("digits", seed=1)
    publish("detector", seed=2)
    made = hub.admin.post("enrolment-tokens", model=["detector", "digits"])["token"]
    with EdgeDevice("state", hub=hub.url, token=made, config=PATIENT, background=False) as device:
        yield device


def ran(page: str, place: int, hub: HubProcess, **names: Any) -> Mapping[str, Any]:
    """Run a block of a page, with the hub of the test for the page's."""
    text = python_of(page)[place].replace("https://hub:8000", hub.url)
    text = text.replace("label=3", "label=1")  # this model knows three digits
    namespace = dict(names)
    exec(compile(text, page, "exec"), namespace)
    return namespace


@pytest.mark.slow
def test_the_page_of_cold_starts_runs(device: EdgeDevice, hub: HubProcess) -> None:
    device.close()
    names = ran("COLD_START.md", 0, hub, x=PICTURE)
    assert names["p"].label in range(3)


@pytest.mark.slow
def test_the_page_of_several_models_runs(device: EdgeDevice, hub: HubProcess) -> None:
    device.close()
    names = ran("DEVICES.md", 0, hub, picture=PICTURE, crop=lambda picture, _: picture)
    assert names["digit"].label in range(3)


@pytest.mark.slow
def test_the_pages_of_events_the_local_server_and_groups_run(
    device: EdgeDevice, hub: HubProcess
) -> None:
    cancel = ran("OBSERVABILITY.md", 0, hub)["listen"](device)
    cancel()
    ran("LOCAL_SERVER.md", 0, hub)["serve"](device)
    digits = device.model("digits")
    ran("MONITORING.md", 0, hub, device=digits, row=PICTURE, rows=rows(2), sexes=["f", "m"])


@pytest.mark.slow
def test_the_page_of_processes_runs(
    hub: HubProcess, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    publish("alone")
    made = hub.token("alone")
    with EdgeDevice("state", hub=hub.url, token=made, config=PATIENT):
        ran("PROCESSES.md", 0, hub, row=PICTURE)
    asyncio.run(ran("PROCESSES.md", 1, hub, row=PICTURE)["main"]())


@pytest.mark.slow
def test_the_page_of_updates_runs(device: EdgeDevice, hub: HubProcess) -> None:
    device.close()

    class Modem:
        is_roaming = in_use = staticmethod(lambda: False)

    names = ran("UPDATES.md", 0, hub, modem=Modem, kiosk=Modem)
    assert np.isfinite(names["device"].predict(PICTURE).probabilities).all()
    names["device"].close()
