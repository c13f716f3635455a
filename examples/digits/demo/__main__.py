"""Run the demo: ``make demo``. Exit status 0 only if every row of the table is ok."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from examples.digits.demo import ending, entities, freshening, opening, trials, visitors
from examples.digits.demo.report import write_report
from examples.digits.demo.story import Step, Story
from examples.digits.demo.table import Table

FOLDER = Path(".demo")
STEPS: tuple[tuple[str, Step], ...] = (
    ("start the hub", opening.start_hub),
    ("train, convert, publish 1.0", opening.publish_first),
    ("eight devices enrol and answer", opening.start_devices),
    ("a pack for frequent inputs", opening.build_pack),
    ("answers by entity, on schedule", entities.forms),
    ("the hub is killed and restarted", opening.kill_hub),
    ("the camera changes: two triggers", freshening.drift),
    ("a hasty training forgets: caught", freshening.forgetting),
    ("policy mended: stateful run, 1.1", freshening.stateful),
    ("canary of 1.1, promoted", freshening.canary),
    ("webhook: stateless run, 2.0", freshening.stateless),
    ("a bad version as a shadow", trials.shadow),
    ("a bad version is rolled back", ending.bad_version),
    ("triggers replayed: dry run", freshening.dry_run),
    ("how often should it retrain?", freshening.freshness),
    ("A/B by visitor: a small 4.0", trials.ab),
    ("every report exactly once", ending.exactly_once),
    ("a visitor with another handwriting", visitors.unusual),
)


def main() -> int:
    """Run every step, print the table and write the report."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    table, story = Table(), Story(FOLDER)
    try:
        for number, (name, step) in enumerate(STEPS, 1):
            table.step(f"{number} {name}", partial(step, story))
            if number == 1:
                print(_live(story), flush=True)
        report = write_report(story, table)
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(f"{table.text()}\n\nreport: {report}\n{_live(story)}")
            input("Enter ends the hub and the demo: ")
    finally:
        story.fleet.close()
    print(table.text())
    print(f"\nreport: {report}")
    print(f"the hub's data stays: edge-hub serve {story.fleet.hub_data}, then for example")
    print(f"  edge-hub models --data {story.fleet.hub_data}")
    print(f"  edge-hub audit --data {story.fleet.hub_data}")
    return 0 if table.ok else 1


def _live(story: Story) -> str:
    """Return where the fleet is seen while the demo runs, and how to sign in there."""
    token = story.fleet.hub_data / "admin.token"
    return f"the fleet, live: {story.hub.url}/ (sign in with the token in {token})"


if __name__ == "__main__":
    sys.exit(main())
