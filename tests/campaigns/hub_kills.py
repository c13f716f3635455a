"""SIGKILL of the hub while it works: no message lost or doubled, nothing half-published.

``python -m tests.campaigns.hub_kills --kills 200``

Devices report without pause. An administrator publishes, promotes and changes plans and policies;
at a random moment of that the hub's process is killed and started again. A new device then enrols,
verifies the signed metadata from its root, and must serve what the plan said before or says
afterwards. Then the administrator repeats the command, which must succeed, and the next new device
must serve what it asked for. Upgrades of a database of 0.1 are killed in between: each must leave
it as it was or upgraded. In the end the hub must have counted each prediction once.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloud_hub.database.migrate import check, upgrade
from cloud_hub.errors import HubFault
from cloud_hub.hub import initialise
from cloud_hub.settings import Settings
from edge_sdk import EdgeDevice
from tests.campaigns.harness.forked import Child, in_child
from tests.campaigns.harness.reporters import PROMPT, Reporter, counts
from tests.edge.builders import make_release
from tests.hub.database.test_migrations import frozen_sqlite, rows_of
from tests.servers import HubProcess
from tests.waiting import PATIENCE

STEADY: Final = "steady"
LINE: Final = "line"
REPORTERS: Final = 3
MANY: Final = 1_000_000
LONGEST: Final = 0.3
"""Seconds after its begin, at most, at which a command is interrupted; most take less."""

_TIME: Final = re.compile(r"\d{10}\.\d+")
"""Unix seconds, as a row shows them."""


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: by what the hub was doing.
        undone: commands that had not taken effect, of all.
        predictions: that devices made.
        lost: of these, that the hub never counted.
        doubled: that it counted more than once.
        broken: a sentence for everything else that was wrong.
    """

    kills: Counter[str] = field(default_factory=Counter)
    undone: int = 0
    predictions: int = 0
    lost: int = 0
    doubled: int = 0
    broken: list[str] = field(default_factory=list)


class Administration:
    """The administrator of model ``line``: commands that may be repeated.

    Args:
        hub: that obeys.
        folder: for releases.
    """

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self._hub = hub
        self._folder = folder
        self._published = 0
        self.commands: dict[str, Callable[[], Callable[[], object]]] = {
            "publish": self._publish,
            "promote": self._promote,
            "plan": self._plan,
            "policy": self._policy,
        }

    @property
    def serving(self) -> str:
        """Return the version that the plan serves."""
        return str(self._hub.admin.get(f"models/{LINE}/plan")["serving"]["version"])

    def begin(self) -> None:
        """Publish and promote the first version."""
        self._publish()()
        self._promote()()

    def _publish(self) -> Callable[[], object]:
        release = make_release(self._folder, LINE, f"1.{self._published}", self._published)
        self._published += 1
        return lambda: self._hub.admin.publish(release.folder, self._hub.key, override="campaign")

    def _promote(self) -> Callable[[], object]:
        version = f"1.{self._published - 1}"
        return lambda: self._hub.admin.post(f"models/{LINE}/promote", version=version)

    def _plan(self) -> Callable[[], object]:
        """Go to another version that is there, by hand."""
        versions, serving = [f"1.{i}" for i in range(self._published)], self.serving
        other = next((v for v in versions if v != serving), serving)
        query = {"version": other, "override": "campaign", "reason": "a change of plan"}
        return lambda: self._hub.admin.post(f"models/{LINE}/promote", **query)

    def _policy(self) -> Callable[[], object]:
        text = f"reporting: {{window: {60 + self._published}}}\n".encode()
        return lambda: self._hub.admin.put(f"models/{LINE}/policy", text)


class Campaign:
    """A hub, its devices and its administrator.

    Args:
        folder: for everything.
        seed: of the moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.tally = Tally()
        self._folder = folder
        self._chance = random.Random(seed)
        self._hub = HubProcess(folder)
        release = make_release(folder / "made", STEADY)
        self._hub.admin.publish(release.folder, self._hub.key)
        self._hub.admin.post(f"models/{STEADY}/promote", version="1.0")
        self._administration = Administration(self._hub, folder / "made")
        self._administration.begin()
        self._token = self._hub.token(LINE, MANY)
        token = self._hub.token(STEADY, MANY)
        self._reporters = [
            Reporter(folder / f"reporter-{i}", token, STEADY, lambda: self._hub.url)
            for i in range(REPORTERS)
        ]
        self._newcomers = 0

    def run(self, kills: int) -> Tally:
        """Kill so many times, each kind of work in turn; then count."""
        for reporter in self._reporters:
            reporter.start()
        kinds = [*self._administration.commands, "ingest"]
        try:
            for number in range(kills):
                self._round(kinds[number % len(kinds)])
            for reporter in self._reporters:
                reporter.finish()
            self._count()
        finally:
            for reporter in self._reporters:
                reporter.stop()
            self._hub.close()
        return self.tally

    def _round(self, kind: str) -> None:
        before = self._administration.serving
        command = self._command(kind)
        thread = threading.Thread(target=_unanswered, args=(command,))
        thread.start()
        time.sleep(self._chance.uniform(0, LONGEST))
        self._hub.kill()
        thread.join(PATIENCE)
        self.tally.kills[kind] += 1
        self._hub.start()
        found = self._newcomer()
        if kind in ("publish", "policy", "ingest") and found != before:
            self._wrong(kind, f"expected a new device to serve {before}, it serves {found}")
        self.tally.undone += found == before
        try:
            command()
        except HubFault as error:
            self._wrong(kind, f"expected the command to succeed when repeated: {error}")
        if (found := self._newcomer()) != (wanted := self._administration.serving):
            self._wrong(kind, f"expected a new device to serve {wanted}, it serves {found}")

    def _command(self, kind: str) -> Callable[[], object]:
        commands = self._administration.commands
        return commands[kind]() if kind in commands else lambda: None

    def _wrong(self, kind: str, what: str) -> None:
        number = sum(self.tally.kills.values())
        self.tally.broken.append(f"kill {number}, {kind}: {what}")

    def _newcomer(self) -> str:
        """Return the version that a new device serves: it trusts nothing but what it verifies."""
        self._newcomers += 1
        state = self._folder / f"newcomer-{self._newcomers}"
        with EdgeDevice(
            state,
            hub=self._hub.url,
            token=self._token,
            model=LINE,
            config=PROMPT,
            background=False,
        ) as device:
            errors = device.sync().errors
            version = str(device.status()["version"])
        shutil.rmtree(state)
        return version if not errors else f"nothing: {errors}"

    def _count(self) -> None:
        counted = self._hub.admin.get(f"models/{STEADY}/telemetry")["devices"]
        for count in counts(self._reporters, counted):
            self.tally.predictions += count.made
            self.tally.lost += count.lost
            self.tally.doubled += count.doubled


def _unanswered(command: Callable[[], object]) -> None:
    """Run a command whose hub is killed: there may be an answer or none."""
    try:
        command()
    except HubFault:
        return


def kill_upgrades(folder: Path, kills: int, seed: int, tally: Tally) -> None:
    """Kill upgrades of a database of 0.1; each must be whole or not begun, and then succeed."""
    chance = random.Random(seed)
    made = Settings(folder / "frozen", tick_seconds=0)
    initialise(made)
    whole = _copied(frozen_sqlite(made.data).data, folder / "whole")
    seconds = _upgrade_seconds(whole)
    wanted = _timeless(rows_of(whole))
    for number in range(kills):
        settings = _copied(made.data, folder / f"upgrade-{number}")
        child = Child(lambda settings=settings: str(upgrade(settings))).go()
        time.sleep(chance.uniform(0, 1.2 * seconds))
        child.kill()
        tally.kills["migration"] += 1
        pending = check(settings).pending
        if pending and pending != check(made).pending:
            tally.broken.append(f"upgrade {number}: it is at {check(settings).current}")
        in_child(lambda settings=settings: str(upgrade(settings)))
        if _timeless(rows_of(settings)) != wanted:
            tally.broken.append(f"upgrade {number}: expected the rows of one that was not killed")
        shutil.rmtree(settings.data)


def _timeless(rows: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return rows without the times at which an upgrade made them."""
    began = time.time() - 3_600

    def masked(found: re.Match[str]) -> str:
        return "now" if float(found[0]) > began else found[0]

    return {name: [_TIME.sub(masked, row) for row in found] for name, found in rows.items()}


def _upgrade_seconds(settings: Settings) -> float:
    began = time.monotonic()
    in_child(lambda: str(upgrade(settings)))
    return time.monotonic() - began


def _copied(data: Path, to: Path) -> Settings:
    shutil.copytree(data, to)
    return Settings(to, tick_seconds=0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if nothing was lost, doubled or half-done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--kills", type=int, default=200, help="one in ten of an upgrade")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    upgrades = max(arguments.kills // 10, 1)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="hub-kills-") as folder:
        # Before there are threads: it forks.
        kill_upgrades(Path(folder), upgrades, arguments.seed, tally)
        campaign = Campaign(Path(folder), arguments.seed)
        campaign.tally = tally
        campaign.run(arguments.kills - upgrades)
    print(told(tally, time.monotonic() - began), *tally.broken, sep="\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(vars(tally), indent=1))
    return 1 if tally.broken or tally.lost or tally.doubled else 0


def told(tally: Tally, seconds: float) -> str:
    """Return the figures as text."""
    during = ", ".join(f"{kind} {count}" for kind, count in tally.kills.most_common())
    return (
        f"{sum(tally.kills.values())} kills ({during}) in {seconds:.0f} s\n"
        f"{tally.predictions} predictions reported: {tally.lost} lost, {tally.doubled} doubled\n"
        f"{tally.undone} commands had not taken effect; {len(tally.broken)} broken"
    )


if __name__ == "__main__":
    sys.exit(main())
