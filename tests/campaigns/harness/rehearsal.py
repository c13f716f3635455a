"""Devices of a case in numbers: prepared, brought to where they act, and looked at afterwards."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.campaigns.harness.device_cases import Case, Expected, Place, answers_offline, looked_at
from tests.campaigns.harness.forked import Child, Ended, in_child

Run = Callable[[Child], tuple[Ended, Any]]

FIRST: Final = "first/state"
"""In a folder of its own: that has a name, too, which the device may have to make."""


class Rehearsal:
    """Devices of one case, each with a state folder of its own.

    Args:
        case: that they act in.
        folder: for the state folders.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self._folder = folder / case.model
        self._folder.mkdir(parents=True)

    def place(self, name: str) -> Place:
        return self.case.place(self._folder / name)

    def devices(self, names: list[str]) -> list[Place]:
        """Bring new devices to where they act."""
        self.case.begin()
        places = [self.place(name) for name in names]
        for place in places:
            in_child(lambda place=place: self.case.prepare(place))
        self.case.move()
        for place in places:
            Child(lambda place=place: self.case.ready(place)).go().wait()
        return places

    def import_all(self) -> None:
        """Import what a device that acts imports, so that children need not."""
        (place,) = self.devices(["importing"])
        for name in in_child(lambda: _modules_after(lambda: self.case.act(place))):
            importlib.import_module(name)

    def first(self, run: Run, hub: str | None = None) -> tuple[Expected, Any]:
        """Have one device act whole.

        Args:
            run: runs the child that acts.
            hub: by which the device reaches its hub meanwhile, if not directly.

        Returns:
            What is expected of all others, and what ``run`` returned besides.
        """
        (place,) = self.devices([FIRST])
        copy = self._folder / "copy"
        if place.state.exists():  # enrolment has no folder before it begins
            shutil.copytree(place.state, copy)
        before = in_child(lambda: answers_offline(self.case.place(copy)))
        acting = place if hub is None else replace(place, hub=hub)
        ended, result = run(Child(lambda: self.case.act(acting)))
        if ended.killed:
            raise RuntimeError("the first device was killed")
        found = in_child(lambda: looked_at(self.case, place))
        expected = Expected(before, found["offline"], self.case.serial)
        if (wrong := expected.wrong(found)) != []:
            raise RuntimeError(f"{self.case.name}: a device that nobody cut short: {wrong}")
        return expected, result

    def looked_at(self, place: Place) -> Any:
        """Look at a device in a child of its own, and remove it."""
        try:
            return in_child(lambda: looked_at(self.case, place))
        finally:
            shutil.rmtree(place.state, ignore_errors=True)


def _modules_after(work: Callable[[], Any]) -> list[str]:
    before = set(sys.modules)
    work()
    # A compiled module may have entered itself a second time, by a name that nothing imports.
    return sorted(
        name for name, module in sys.modules.items()
        if name not in before and getattr(getattr(module, "__spec__", None), "name", None) == name
    )  # fmt: skip
