"""Cases of devices that were cut short: tried one after the other on one hub, judged and counted.

What the campaigns that end a device's process or its power have in common.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.campaigns.harness.device_cases import CASES, Expected, why_not
from tests.campaigns.harness.fleet_hub import FleetHub
from tests.campaigns.harness.forked import memory_folder
from tests.campaigns.harness.rehearsal import Rehearsal
from tests.campaigns.harness.strace import missing


@dataclass
class Judged:
    """What came of one case.

    Attributes:
        case: its name.
        answered: how often devices answered offline as ``before`` or as ``after``.
        broken: a sentence for each device that was not whole.
    """

    case: str
    answered: Counter[str] = field(default_factory=Counter, kw_only=True)
    broken: list[str] = field(default_factory=list, kw_only=True)

    def judge(self, expected: Expected, found: Mapping[str, Any], where: str) -> None:
        """Count a device that was cut short.

        Args:
            expected: of a device of this case.
            found: what it was; see :meth:`Rehearsal.looked_at`.
            where: it was cut short, for people.
        """
        self.answered["after" if found["offline"] == expected.after else "before"] += 1
        self.broken += [f"{where}: {wrong}" for wrong in expected.wrong(found)]


Result = TypeVar("Result", bound=Judged)


def parse(doc: str, argv: Sequence[str] | None, **numbers: str) -> argparse.Namespace:
    """Read the command line of a campaign; ends the program where no process can be traced.

    Args:
        doc: text of the campaign's module.
        argv: words.
        numbers: further options that take a number, with their help.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES))
    for name, help_text in numbers.items():
        parser.add_argument(f"--{name}", type=int, help=help_text)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args(argv)
    if (why := missing()) is not None:
        parser.exit(2, f"{why}\n")
    return arguments


def judge_all(
    names: Sequence[str],
    run: Callable[[Rehearsal, Path], Result],
    told: Callable[[Result, float], str],
) -> Iterator[Result]:
    """Run cases on one hub, and print a line about each.

    Args:
        names: of the cases.
        run: one case, with a folder for what it needs.
        told: makes the line; it is given the seconds that the case took.
    """
    with tempfile.TemporaryDirectory(prefix="campaign-", dir=memory_folder()) as name:
        folder, hub = Path(name), FleetHub(Path(name))
        imported = False
        try:
            for case in names:
                if (why := why_not(case)) is not None:
                    print(f"{case}: not tried; {why}")
                    continue
                began = time.monotonic()
                rehearsal = Rehearsal(CASES[case](hub, case.replace(" ", "-")), folder)
                if not imported:
                    rehearsal.import_all()
                    imported = True
                result = run(rehearsal, folder)
                print(told(result, time.monotonic() - began), flush=True)
                yield result
        finally:
            hub.close()


def report(done: Sequence[Judged], what: str, to: Path | None) -> int:
    """Print what is broken, write the figures; return 0 if no device was broken.

    Args:
        done: results of all cases.
        what: was done to devices, with its count.
        to: file for the figures, if any.
    """
    broken = [sentence for judged in done for sentence in judged.broken]
    print(f"{what}, {len(broken)} broken", *broken, sep="\n")
    if to is not None:
        to.write_text(json.dumps([vars(judged) for judged in done], indent=1))
    return 1 if broken else 0
