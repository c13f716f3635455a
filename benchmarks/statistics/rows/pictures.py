"""Pictures and sounds: false alarms in one window, and what changes of a camera are found in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import pictures
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, level, power
from cloud_hub.monitoring.findings import FleetWindow, References, evaluate
from converters.certification.profile import output_profiles, quantiles
from converters.certification.tensor_profile import WatchedSamples, watched_profile
from edge_sdk.contract.manifest import OutputSpec, Signature, TensorSpec
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.telemetry.histograms import histogram
from edge_sdk.telemetry.tensor_watch import TensorWatch

WINDOW: Final = 500
PART_NUMBER: Final = 61
SAMPLES: Final = (1_000, 3_000, 300)
"""Samples that a profile is made of."""

FEW: Final = 300
"""Samples with which each kind keeps its level, and not all of them together."""

POOL: Final = 12_000
CHANGED: Final = 3_000

Floats = NDArray[np.float32]
Feed = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A model that is watched.

    Attributes:
        name: for the table.
        signature: of the model.
        draw: samples as at training, given a generator and how many: tensors and true labels.
        answer: the model's outputs for them.
        kinds: declared kinds of its inputs.
    """

    name: str
    signature: Signature
    draw: Callable[[np.random.Generator, int], tuple[Floats, NDArray[Any] | None]]
    answer: Callable[[Floats], Feed]
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def input(self) -> str:
        """Name of the input tensor."""
        return self.signature.inputs[0].name


def _picture_answers(x: Floats) -> Feed:
    hidden = pictures.embedding(x)
    probabilities = pictures.network().predict_proba(pictures.pooled(x)).astype(np.float32)
    return {"hidden": hidden, "probabilities": probabilities}


def _drawn_digits(random: np.random.Generator, count: int) -> tuple[Floats, NDArray[Any]]:
    drawn = pictures.digits()[1].draw(random, count)
    return drawn.x, drawn.y


@cache
def camera() -> World:
    """Digits before a camera, a trained network, its hidden layer watched."""
    classes = tuple(pictures.network().classes_.tolist())
    side = pictures.SIDE
    outputs = (
        OutputSpec("probabilities", "float32", (None, len(classes)), "probabilities"),
        OutputSpec("hidden", "float32", (None, pictures.HIDDEN), "embedding"),
    )
    inputs = (TensorSpec("picture", "float32", (None, 1, side, side)),)
    signature = Signature(inputs, outputs, classes=classes)
    return World("camera", signature, _drawn_digits, _picture_answers)


@cache
def microphone() -> World:
    """Hums of machines before a microphone; the model gives no labels."""
    inputs = (TensorSpec("sound", "float32", (None, 1_024)),)
    signature = Signature(inputs, (OutputSpec("loud", "float32", (None, 1)),))
    return World(
        "microphone",
        signature,
        lambda random, count: (pictures.sounds(random, count), None),
        lambda x: {"loud": np.square(x).mean(axis=1, keepdims=True)},
        {"sound": "audio"},
    )


def _by_role(world: World, answers: Feed) -> Feed:
    """Answers of a classifier by role; of the microphone, which gives no labels, none."""
    if "probabilities" not in answers:
        return {}
    likeliest = answers["probabilities"].argmax(axis=1)
    labels = np.asarray(world.signature.classes)[likeliest]
    return {"label": labels, "probabilities": answers["probabilities"]}


@dataclass(frozen=True)
class Pool:
    """What devices count of many inputs, from which profiles and windows are drawn.

    Attributes:
        values: of the watched statistics, [N, S].
        answers: by role, [N, ...].
        truth: right labels, [N], where there are any.
    """

    values: Floats
    answers: Feed
    truth: NDArray[Any] | None

    def take(self, rows: NDArray[np.int64]) -> Pool:
        """Return some of the inputs."""
        answers = {role: array[rows] for role, array in self.answers.items()}
        truth = None if self.truth is None else self.truth[rows]
        return Pool(self.values[rows], answers, truth)


@cache
def fitted(make: Callable[[], World]) -> ReferenceProfile:
    """Return what a conversion with 1,000 samples decides to watch, and along which directions."""
    world = make()
    x, _ = world.draw(np.random.default_rng(7), 1_000)
    feed, answers = {world.input: x}, world.answer(x)
    return watched_profile(WatchedSamples(world.signature, [feed], [answers], world.kinds))


def pool_of(make: Callable[[], World], x: Floats, truth: NDArray[Any] | None) -> Pool:
    """Return what devices count of ``x``."""
    world = make()
    watch, answers = TensorWatch(fitted(make), world.signature), world.answer(x)
    return Pool(watch.features({world.input: x}, answers), _by_role(world, answers), truth)


@cache
def usual(make: Callable[[], World], seed: int) -> Pool:
    """Return a pool of inputs as at training."""
    parts = []
    for i in range(POOL // 1_000):
        x, truth = make().draw(np.random.default_rng([seed, i]), 1_000)
        parts.append(pool_of(make, x, truth))
    truths = [part.truth for part in parts if part.truth is not None]
    return Pool(
        np.concatenate([part.values for part in parts]),
        {r: np.concatenate([part.answers[r] for part in parts]) for r in parts[0].answers},
        np.concatenate(truths) if truths else None,
    )


def reference(make: Callable[[], World], samples: Pool) -> ReferenceProfile:
    """Return the profile that a conversion makes of samples, along directions that are fixed."""
    fit, classes = fitted(make), make().signature.classes
    pairs = zip(fit.features, samples.values.T, strict=True)
    features = tuple(quantiles(feature.name, values) for feature, values in pairs)
    outputs = output_profiles(samples.answers, classes, samples.truth)
    return replace(fit, rows=len(samples.values), features=features, outputs=outputs)


def alarms(profile: ReferenceProfile, window: Pool, seed: int) -> set[str]:
    """Return the signals that alarm in one window of one device."""
    columns = dict(zip([f.name for f in profile.features], window.values.T, strict=True))
    if "probabilities" in window.answers:
        columns["label"] = window.answers["label"]
        columns["confidence"] = window.answers["probabilities"].max(axis=1)
    every = (*profile.features, *profile.outputs)
    counts = {f.name: histogram(f, columns[f.name])[None] for f in every}
    found = evaluate(
        FleetWindow(seed, seed + 300, ("d",), counts), References(profile), outputs=True
    )
    return {finding.signal for finding in found if finding.alarming}


@dataclass(frozen=True)
class Change:
    """Something that happens to what a device sees, and the signals of which one must find it."""

    name: str
    world: Callable[[], World]
    apply: Callable[[np.random.Generator, Floats], Floats]
    signals: tuple[str, ...]


def _some_new(share: float) -> Callable[[np.random.Generator, Floats], Floats]:
    def mixed(random: np.random.Generator, x: Floats) -> Floats:
        new = pictures.digits()[2].draw(random, len(x)).x
        chosen = random.random(len(x)) < share
        return np.where(chosen[:, None, None, None], new, x)

    return mixed


CHANGES: Final = (
    Change("a camera out of focus by 1 pixel", camera,
           lambda random, x: pictures.blurred(x, 1.0), ("sharpness", "detail")),
    Change("a camera out of focus by half a pixel", camera,
           lambda random, x: pictures.blurred(x, 0.5), ("sharpness", "detail")),
    Change("a camera whose gain rose by 20%", camera,
           lambda random, x: np.clip(1.2 * x, 0, 1), ("brightness", "contrast")),
    Change("a third of the pictures of a class never seen", camera,
           _some_new(1 / 3), ("hidden", "confidence", "estimate", "label")),
    Change("a fifth of the pictures of a class never seen", camera,
           _some_new(1 / 5), ("hidden", "confidence", "estimate", "label")),
    Change("a microphone 3 dB louder", microphone,
           lambda random, x: np.float32(10 ** (3 / 20)) * x, ("level",)),
    Change("a microphone that hears low tones only", microphone,
           lambda random, x: np.asarray((x + np.roll(x, 1, axis=1)) / 2, np.float32),
           ("band", "zero crossings")),
)  # fmt: skip


def run(effort: Effort) -> list[Row]:
    """Nothing changes; then each change."""
    rows = []
    cells = [(world, count) for world in (camera, microphone) for count in SAMPLES]
    for number, (make, count) in enumerate(effort.cells(cells, 1)):
        runs = effort.runs_for_level(1_000, 0.05)
        found = [_unchanged(make, count, effort, number, i) for i in range(runs)]
        name = f"{make().name}, {count:,} samples at conversion: nothing changes, an alarm"
        every = sum(bool(signals) for signals in found)
        if count > FEW:
            rows.append(level(f"{name} of any kind", every, runs, 0.05))
            continue
        for kind in ("drift", "domain"):
            false = sum(any(s.startswith(kind) for s in signals) for signals in found)
            rows.append(level(f"{name} of kind {kind}", false, runs, 0.05))
        rows.append(Row(f"{name} of any kind", "", exact_rate(every, runs)))
    for number, change in enumerate(effort.cells(CHANGES, 4)):
        runs = effort.runs(100, least=30)
        hits = _found(change, effort, number, runs)
        rows.append(power(f"{change.name}: found, by name", hits, runs, 0.95))
    return rows


def _unchanged(
    make: Callable[[], World], count: int, effort: Effort, number: int, run: int
) -> set[str]:
    """Signals that alarm in a window as at training."""
    drawn = effort.random(PART_NUMBER, number, run).permutation(POOL)[: count + WINDOW]
    pool = usual(make, effort.seed)
    profile = reference(make, pool.take(drawn[:count]))
    return alarms(profile, pool.take(drawn[count:]), run)


def _found(change: Change, effort: Effort, number: int, runs: int) -> int:
    """Number of windows in which a change is found by one of its signals."""
    pool, hits = usual(change.world, effort.seed), 0
    random = effort.random(PART_NUMBER, 100 + number)
    x, truth = change.world().draw(random, CHANGED)
    changed = pool_of(change.world, change.apply(random, x), truth)
    for i in range(runs):
        samples = pool.take(random.permutation(POOL)[: SAMPLES[0]])
        window = changed.take(random.permutation(CHANGED)[:WINDOW])
        found = alarms(reference(change.world, samples), window, i)
        hits += any(word in signal for word in change.signals for signal in found)
    return hits


PART = Part(
    "Pictures and sounds",
    f"One window of {WINDOW} inputs of one device, an alarm in that window alone (monitoring waits "
    "for two in a row). The camera sees handwritten digits, each with light, gain and noise of its "
    "own; a trained network of which the hidden layer is watched answers, and one digit was kept "
    "from it. What is watched, and along which directions, a conversion decides once; profiles are "
    "made anew in each run, of samples that the network was not trained on. Changes are looked for "
    f"with {SAMPLES[0]:,} samples at conversion.",
    run,
    quick=True,
)
