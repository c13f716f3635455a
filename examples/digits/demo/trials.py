"""Two more ways to try a version: as a shadow, which serves nobody, and in an A/B test."""

from __future__ import annotations

from typing import Any, Final

from examples.digits import training
from examples.digits.demo.story import DEVICES, Outcome, Story

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


def shadow(story: Story) -> Outcome:
    """Try a bad version as a shadow: it is found out before anybody is served by it."""
    bad = training.bad_model(story.train, seed=1)
    story.publish(story.convert(bad, SHADOWED, story.train, None), override="demo: as a shadow")
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
    small = story.convert(training.small_model(story.train), SMALL, story.train, None)
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
