"""Two more ways to try a version: as a shadow, which serves nobody, and in an A/B test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sklearn.pipeline import Pipeline

from edge_sdk.model.release import Release
from examples.digits import training
from examples.digits.data import Digits
from examples.digits.demo.story import BAD, DEVICES, Outcome, Story

SHADOWED: Final = "2.1"
"""A version of a broken labelling job, tried as a shadow."""

SMALL: Final = "4.0"
"""A network of eight neurons: would it do as well?"""

SHADOW: Final = f"""
model: digits
strategy: shadow
candidate: '{SHADOWED}'
soak: 3s
minimum_outcomes: 200
"""

AB: Final = f"""
model: digits
strategy: ab
unit: key                      # by visitor, not by device: every device holds both versions
arms:
- {{name: small, version: '{SMALL}', weight: 0.5}}
outcomes:
- {{name: accuracy, metric: accuracy, direction: up, minimum_effect: 0.01}}
soak: 6s
minimum_devices: {DEVICES}
minimum_outcomes: 300
labels: {{settle: 0s, band: 0.5}}  # as in the policy: they come within a second
guardrails: {{alpha: 0.000001}}  # so sure, that a device that is late still takes part
"""


def prepare(story: Story) -> None:
    """Have the versions that people publish by hand trained and converted beside other steps."""
    for version, train in (
        (SHADOWED, partial(training.bad_model, seed=1)),
        (BAD, training.bad_model),
        (SMALL, training.small_model),
    ):
        story.prepare(version, partial(_release, story, version, train))


def _release(story: Story, version: str, train: Callable[[Digits], Pipeline]) -> Release:
    return story.convert(train(story.train), version, story.train, None)


def shadow(story: Story) -> Outcome:
    """Try a bad version as a shadow: it is found out before anybody is served by it."""
    story.publish(story.prepared(SHADOWED), override="demo: as a shadow")
    trial = _finished(story, SHADOW)
    seen = trial["figures"]["shadow"]
    lines = story.answers(trial["started_at"])
    served = sum(line["version"] == SHADOWED for line in lines)
    ok = trial["status"] == "concluded" and trial["state"]["winner"] is None and served == 0
    return ok, (
        f"{SHADOWED} answered {seen['compared']} inputs as a shadow on {seen['devices']} devices "
        f"and disagreed on {seen['disagreement']:.1%}; where only one was right, it was that "
        f"{seen['candidate_only']} times, the serving one {seen['incumbent_only']}; found worse "
        f"after {_seconds(trial):.1f} s; it served {served} of {len(lines)} answers"
    )


def ab(story: Story) -> Outcome:
    """Try a small network against the serving version, by visitor."""
    small = story.prepared(SMALL)
    story.publish(small, override="demo: the A/B test decides")
    trial = _finished(story, AB)
    (judged,) = trial["figures"]["outcomes"]
    lines = [story.device_answers(n, trial["started_at"]) for n in range(DEVICES)]
    devices = sum(any(x["version"] == SMALL for x in mine) for mine in lines)
    page = story.folder / "ab.html"
    page.write_text(story.hub.experiments.page(trial["id"]), encoding="utf-8")
    served = sum(x["version"] == SMALL for mine in lines for x in mine)
    ended = trial["status"] in ("concluded", "aborted") and trial["state"]["winner"] is None
    return ended and devices == DEVICES, (
        f"{SMALL} ({small.model_path.stat().st_size} bytes) against {trial['control']} by visitor, "
        f"on all {DEVICES} devices: own accuracy {judged['candidate']:.3f} against "
        f"{judged['control']:.3f}; {trial['status']} after {_seconds(trial):.1f} s and {served} "
        f"answers: {trial['reason']}; {trial['control']} stays; report: {page}"
    )


def _finished(story: Story, declaration: str) -> Any:
    """Start an experiment, declared in YAML, and wait for its end."""
    client = story.hub.experiments
    id_ = client.start(declaration)["id"]
    story.mark(id_)
    story.wait(lambda: client.status(id_)["ended_at"] is not None, f"the end of {id_}")
    trial = client.status(id_)
    story.mark(trial["status"], trial["ended_at"])
    return trial


def _seconds(trial: Any) -> float:
    return float(trial["ended_at"] - trial["started_at"])
