"""Pictures and sounds: false alarms in one window, and what changes of a camera are found in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import pictures
from benchmarks.statistics.part import Effort, Part, Row, level, power
from cloud_hub.monitoring.findings import FleetWindow, References, evaluate
from converters.certification.profile import output_profiles
from converters.certification.tensor_profile import WatchedSamples, watched_profile
from edge_sdk.contract.manifest import OutputSpec, Signature, TensorSpec
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.telemetry.histograms import histogram
from edge_sdk.telemetry.tensor_watch import TensorWatch

WINDOW: Final = 500
PART_NUMBER: Final = 61
SAMPLES: Final = (1_000, 3_000)
"""Samples that a profile is made of."""

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


def reference(world: World, random: np.random.Generator, count: int) -> ReferenceProfile:
    """Return the profile that a conversion with ``count`` samples makes."""
    x, truth = world.draw(random, count)
    answers = world.answer(x)
    samples = WatchedSamples(world.signature, [{world.input: x}], [answers], world.kinds)
    watched = watched_profile(samples)
    by_role = _by_role(world, answers)
    outputs = output_profiles(by_role, world.signature.classes, truth)
    return ReferenceProfile(
        count, watched.features, outputs, (), watched.watched, watched.embedding
    )


def alarms(world: World, profile: ReferenceProfile, x: Floats, seed: int) -> set[str]:
    """Return the signals that alarm in one window of one device that saw ``x``."""
    answers = world.answer(x)
    watch = TensorWatch(profile, world.signature)
    values = watch.features({world.input: x}, answers)
    columns = dict(zip([f.name for f in profile.features], values.T, strict=True))
    by_role = _by_role(world, answers)
    if "probabilities" in by_role:
        columns["label"] = by_role["label"]
        columns["confidence"] = by_role["probabilities"].max(axis=1)
    every = (*profile.features, *profile.outputs)
    counts = {f.name: histogram(f, columns[f.name])[None] for f in every}
    window = FleetWindow(seed, seed + 300, ("d",), counts)
    found = evaluate(window, References(profile), outputs=True)
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
    for number, (world, count) in enumerate(
        effort.cells([(w, n) for n in SAMPLES for w in (camera, microphone)], 2)
    ):
        runs = effort.runs_for_level(300, 0.05)
        false = sum(bool(_found(world(), count, None, effort, number, i)) for i in range(runs))
        name = f"{world().name}, {count:,} samples at conversion: nothing changes, any alarm"
        rows.append(level(name, false, runs, 0.05))
    for number, change in enumerate(effort.cells(CHANGES, 4)):
        runs = effort.runs(100, least=30)
        hits = sum(_is_found(change, effort, 50 + number, i) for i in range(runs))
        rows.append(power(f"{change.name}: found, by name", hits, runs, 0.95))
    return rows


def _is_found(change: Change, effort: Effort, number: int, run: int) -> bool:
    found = _found(change.world(), SAMPLES[0], change, effort, number, run)
    return any(word in signal for word in change.signals for signal in found)


def _found(
    world: World, count: int, change: Change | None, effort: Effort, number: int, run: int
) -> set[str]:
    random = effort.random(PART_NUMBER, number, run)
    profile = reference(world, random, count)
    x, _ = world.draw(random, WINDOW)
    return alarms(world, profile, x if change is None else change.apply(random, x), run)


PART = Part(
    "Pictures and sounds",
    f"One window of {WINDOW} inputs of one device, an alarm in that window alone (monitoring waits "
    "for two in a row). The camera sees handwritten digits, each with light, gain and noise of its "
    "own; a trained network of which the hidden layer is watched answers, and one digit was kept "
    "from it. Profiles are made by the converters' functions, of samples that the network was not "
    "trained on, anew in each run.",
    run,
    quick=True,
)
