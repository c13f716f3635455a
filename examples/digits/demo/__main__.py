"""Run the demo: ``make demo``. Exit status 0 only if every row of the table is ok."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from examples.digits.demo.report import write_report
from examples.digits.demo.story import Story
from examples.digits.demo.table import Table

FOLDER = Path(".demo")


def main() -> int:
    """Tell the whole story."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    table, story = Table(), Story(FOLDER)
    try:
        table.step("1 start the hub", story.start_hub)
        table.step("2 train, convert, publish 1.0", story.publish_first)
        table.step("3 five devices enrol and answer", story.start_devices)
        table.step("4 a pack for frequent inputs", story.build_pack)
        table.step("9 the hub is killed and restarted", story.kill_hub)
        table.step("5 the camera changes: triggers", story.drift)
        table.step("6 stateful run, offline gate, 1.1", story.retrain)
        table.step("7 canary of 1.1, promoted", story.canary)
        table.step("8 a bad version is rolled back", story.bad_version)
        table.step("10 every report exactly once", story.exactly_once)
        report = write_report(story, table)
    finally:
        story.fleet.close()
    print(table.text())
    print(f"\nreport: {report}")
    print(f"the hub's data stays: edge-hub serve {story.fleet.hub_data}, then for example")
    print(f"  edge-hub models --data {story.fleet.hub_data}")
    print(f"  edge-hub audit --data {story.fleet.hub_data}")
    return 0 if table.ok else 1


if __name__ == "__main__":
    sys.exit(main())
