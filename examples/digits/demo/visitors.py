"""A step of the demo: a visitor with unusual handwriting is recognised better within the session.

Nothing of the visitor is known before, and nothing of what the kiosk learns leaves it: the hub fits
what visitors begin with to digits of other writers, signs it, and hands it out with the next plan.
The network itself has seen neither these writers nor any slanted digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from examples.digits.data import Digits
from examples.digits.demo.story import KIOSK, Outcome, Story
from examples.digits.writers import UNUSUAL, Writer, written

WRITERS: Final = 40
DIGITS_EACH: Final = 60
TAUGHT: Final = 60
"""Digits of the visitor that may teach; the others are the test."""

COUNTS: Final = (0, 5, 10, 20, 50)
BETTER_BY: Final = 0.1
"""Of the mean accuracy after 10, 20 and 50 labels: far beyond what chance gives to 240 digits."""

POLICY: Final = f"""
model: {KIOSK}
cascade: {{mode: local}}         # or the cloud's network would be measured, too
personalise:                   # devices adapt to whom they answer, within the session
  mode: on
  unit_column: writer
"""


def unusual(story: Story) -> Outcome:
    """Wait for what :func:`teach` measured beside the other steps."""
    outcome: Outcome = story.prepared("visitors")
    return outcome


def teach(story: Story) -> Outcome:
    """Let a visitor with a slanted, broad hand teach a kiosk, beside one who writes as usual."""
    fitted = _fitted(story)
    token = story.hub.post("enrolment-tokens", model=KIOSK, count=1)["tokens"][0]["token"]
    options: dict[str, Any] = {"model": KIOSK, "background": False, "hub": story.hub.url}
    with EdgeDevice(story.folder / "visitors", token=token, **options) as device:
        story.wait(lambda: _knows_prior(device), "the prior on the kiosk")
        lessons, test = _halves(story.holdout, UNUSUAL)
        without = _right(device, None, test)
        accuracies = _session(device, "visitor", lessons, test)
        plain, checks = _halves(story.holdout, Writer())
        usual = _session(device, "usual", plain, checks)[-1], _right(device, None, checks)
        gone = device.forget("visitor") and _right(device, "visitor", test) == without
    told = ", ".join(f"{a:.0%} after {n}" for n, a in zip(COUNTS, accuracies, strict=True))
    better = np.mean(accuracies[2:]) - without >= BETTER_BY and accuracies[-1] > without
    ok = bool(fitted["helps"] and better and usual[0] >= usual[1] - 0.02 and gone)
    return ok, (
        f"prior {fitted['generation']} from {WRITERS} writers, "
        f"{fitted['verdict']}; a visitor with slant and a broad pen: {without:.0%} right without "
        f"it, with it {told} labels; one who writes as usual: {usual[1]:.0%} without, "
        f"{usual[0]:.0%} with; forgotten on demand: {'yes' if gone else 'no'}"
    )


def _fitted(story: Story) -> Any:
    """Put personalisation into the policy, and have the hub fit what visitors begin with."""
    story.policy(POLICY, KIOSK)
    rows, writer = written(story.train, WRITERS, DIGITS_EACH, seed=1)
    columns = Release.open(story.folder / "releases" / f"{KIOSK}-1.0").manifest.signature.columns
    table: dict[str, Any] = {column.name: rows.X[:, i] for i, column in enumerate(columns)}
    table |= {"digit": rows.y, "writer": [f"writer-{number}" for number in writer]}
    path = story.folder / "writers.parquet"
    pq.write_table(pa.table(table), path)
    return story.hub.post(
        f"models/{KIOSK}/personalise/fit", path.read_bytes(), unit="writer", label="digit",
        source=path.name,
    )  # fmt: skip


def _knows_prior(device: EdgeDevice) -> bool:
    device.sync()
    return "personal" in device.status()


def _halves(digits: Digits, writer: Writer) -> tuple[Digits, Digits]:
    own = Digits(writer.write(digits.X), digits.y)
    return own.part(0, TAUGHT), own.part(TAUGHT, len(own.y))


def _session(device: EdgeDevice, unit: str, lessons: Digits, test: Digits) -> Sequence[float]:
    """Return the accuracy on the test after each of :data:`COUNTS` labels."""
    accuracies, done = [], 0
    for count in COUNTS:
        for x, digit in zip(lessons.X[done:count], lessons.y[done:count], strict=True):
            device.feedback(device.predict(x, unit=unit).id, label=int(digit))
        done = count
        accuracies.append(_right(device, unit, test))
    return accuracies


def _right(device: EdgeDevice, unit: str | None, rows: Digits) -> float:
    labels = [device.predict(x, unit=unit).label for x in rows.X]
    return float(np.mean(np.array(labels) == rows.y))
