"""``experiment.yaml``: what is tried, on whom, what it is judged by, and what ends it.

Shares and chances are between 0 and 1. A file says everything that a verdict depends on, so that it
can live in version control and be applied by CI; nothing of it changes while the experiment runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from cloud_hub.errors import Invalid
from cloud_hub.statistics.group_sequential import LOOKS
from cloud_hub.statistics.sequential import TUNED_FOR
from cloud_hub.text.yaml import read_yaml
from edge_sdk.contract.errors import require
from edge_sdk.contract.names import CONTROL, Version, check_name
from edge_sdk.contract.plan import SLOTS, Cohort, Measure, Outcome, Strategy

CANDIDATE: Final = "candidate"
"""The arm's name where there is only one."""

STEPS: Final = (0.01, 0.05, 0.25, 0.5, 1.0)
OF_LABELS: Final[tuple[Measure, ...]] = ("accuracy", "served_accuracy")
"""Measures that count in settled windows alone, and that unequal labelling could bias."""

ACCURACY: Final = (Outcome("accuracy", "accuracy", "up", 0.02),)
"""Outcomes of an experiment that declares none: accuracy may drop by two points at most."""


MINIMUM_DEVICES: Final = 3
"""Devices of an arm below which there is no verdict: two can be broken, or hostile, by chance."""

TUNED_FOR_DEVICES: Final = 50
"""As :data:`TUNED_FOR`, of a measure that differs between devices and hardly in time: a device is
worth little more than one outcome, however many it reports."""


BAND: Final = 0.02
"""Accuracy that gaps may hide where the outcome says nothing of what matters."""


def _check_alpha(alpha: float) -> None:
    require(0 < alpha < 0.5, f"alpha: expected above 0 and below 0.5, got {alpha:g}")


@dataclass(frozen=True)
class ArmSpec:
    """One candidate of an A/B/n test and its share of the units.

    With ``personalise`` it is the version that serves: ``with`` its personal prior while the
    control has none, or ``without`` while the control has it.
    """

    name: str
    version: str
    weight: float
    personalise: Literal["with", "without"] | None = None

    def __post_init__(self) -> None:
        check_name("arm", self.name)
        require(self.name != CONTROL, f"arm: {CONTROL!r} is what serves, name it otherwise")
        Version.parse(self.version)
        # Plans give units out in slots: less than one is no share.
        least = 1 / SLOTS
        fits = least <= self.weight < 1
        require(fits, f"weight: expected {least:g} to below 1 (0.3 is 30%), got {self.weight:g}")

    @property
    def shown(self) -> str:
        """For people: ``1.1``, or ``1.0 without personalisation``."""
        how = "" if self.personalise is None else f" {self.personalise} personalisation"
        return f"{self.version}{how}"


@dataclass(frozen=True)
class StageSpec:
    """One cohort of a canary, or whoever is left; ``steps`` as the experiment's if left out."""

    cohort: Cohort | None = None
    steps: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """For people: ``region=eu,us``, or ``everybody``."""
        return cohort_name(self.cohort)

    def includes(self, attributes: Mapping[str, str]) -> bool:
        """Return whether a device with these attributes is in its cohort."""
        return self.cohort is None or self.cohort.includes(attributes)


@dataclass(frozen=True)
class LatencyGuard:
    """The candidate's quantile may be at most so many times the control's."""

    quantile: float = 0.99
    at_most: float = 2.0

    def __post_init__(self) -> None:
        require(
            0 < self.quantile < 1, f"quantile: expected above 0, below 1, got {self.quantile:g}"
        )
        require(self.at_most >= 1, f"at_most: expected at least 1, got {self.at_most:g}")


@dataclass(frozen=True)
class Guardrails:
    """Conditions that take a candidate back at once.

    More than a share ``max_failed_devices`` of its devices that surely cannot activate it or take
    it back; failures (errors, wrong labels) beyond chance; ``latency``; of a shadow a share of
    errors above ``max_error_share``. Any of them trips on a candidate that is no worse with chance
    ``alpha`` at most, however often it is looked at. ``then``: it is taken back, or pauses where it
    is until a person has looked.
    """

    alpha: float = 0.01
    max_failed_devices: float = 0.05
    max_error_share: float = 0.01
    latency: LatencyGuard | None = None
    then: Literal["abort", "pause"] = "abort"

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)
        most, share = self.max_failed_devices, self.max_error_share
        expected = "max_failed_devices: expected a share of the devices, 0 to below 1 (0.05 is 5%)"
        require(0 <= most < 1, f"{expected}, got {most:g}")
        require(0 <= share < 1, f"max_error_share: expected 0 to below 1, got {share:g}")


@dataclass(frozen=True)
class LabelRules:
    """When labels count, and how alike the arms' labelling must be for a promotion.

    A window counts for accuracy ``settle_seconds`` after its end; left out, by when labels came so
    far, and a day until that is known. Unequal labelling may hide ``band`` of accuracy beyond what
    the outcome may lose; left out, as much as it may lose.
    """

    settle_seconds: float | None = None
    band: float | None = None

    def __post_init__(self) -> None:
        settles = self.settle_seconds is None or self.settle_seconds >= 0
        require(settles, f"settle: expected at least 0, got {self.settle_seconds}")
        fits = self.band is None or 0 < self.band < 1
        require(fits, f"band: expected above 0 and below 1 (0.02 is two points), got {self.band}")


@dataclass(frozen=True)
class Design:
    """Design of a verdict, with chance ``alpha`` of a wrong one.

    Without a ``horizon`` it may come at any time; intervals are tightest at ``tuned_for``
    independent outcomes an arm (left out: see :meth:`tightest`). With one, the data are looked at
    ``looks`` times until so many have come, which finds more, and then it ends.
    """

    alpha: float = 0.05
    tuned_for: int | None = None
    horizon: int | None = None
    looks: int = LOOKS

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)
        tuned = self.tuned_for is None or self.tuned_for >= 10
        require(tuned, f"tuned_for: expected at least 10, got {self.tuned_for}")
        ends = self.horizon is None or self.horizon >= 10
        require(ends, f"horizon: expected at least 10 outcomes an arm, got {self.horizon}")
        require(1 <= self.looks <= 100, f"looks: expected 1 to 100, got {self.looks}")

    def tightest(self, measure: Measure) -> int:
        """Number of independent outcomes of ``measure`` at which intervals are tightest."""
        usual = TUNED_FOR_DEVICES if measure == "energy" else TUNED_FOR
        return usual if self.tuned_for is None else self.tuned_for


@dataclass(frozen=True)
class ExperimentSpec:
    """One experiment.

    ``candidate`` is a version (of an A/B/n test ``arms``). ``cohort`` limits whom it is tried on;
    a canary goes through ``stages`` instead, in order, each in ``steps`` of rising shares. A step
    lasts at least ``soak_seconds`` and ``soak_predictions`` of the candidate; it passes with
    ``minimum_outcomes`` of every outcome on both arms and ``minimum_devices`` with the candidate:
    fewer decide nothing, and above one no decision rests on a single device.
    ``no_data_seconds`` without a report of the candidate pause it. ``share`` of the requests get an
    answer beside, or a mixed ranking, on ``device_share`` of the devices. ``approval``: what won
    waits for a person. ``minimum_effect`` is of interleaving: how far from half the share of
    sessions won must be to matter. ``on_success``: it is promoted, or the experiment just concludes
    (a shadow run does by default: nobody was served by it).
    """

    model: str
    strategy: Strategy
    candidate: str | None = None
    arms: tuple[ArmSpec, ...] = ()
    cohort: Cohort | None = None
    unit: Literal["device", "key"] = "device"
    share: float = 1.0
    steps: tuple[float, ...] = STEPS
    stages: tuple[StageSpec, ...] = ()
    soak_seconds: float = 600.0
    soak_predictions: int = 0
    minimum_outcomes: int = 100
    minimum_devices: int = MINIMUM_DEVICES
    no_data_seconds: float = 86_400.0
    outcomes: tuple[Outcome, ...] = ACCURACY
    guardrails: Guardrails = Guardrails()
    design: Design = Design()
    labels: LabelRules = LabelRules()
    minimum_effect: float = 0.0
    device_share: float = 1.0
    unreachable_seconds: float | None = None
    approval: bool = False
    on_success: Literal["promote", "conclude"] | None = None

    def __post_init__(self) -> None:
        check_name("model", self.model)
        _check_arms(self)
        _check_stages(self)
        require(0 < self.share <= 1, f"share: expected above 0 and at most 1, got {self.share}")
        paired = self.strategy in ("shadow", "interleave")
        require(paired or self.share == 1, f"share: {self.strategy} is for whole units")
        require(0 < self.device_share <= 1, "device_share: expected above 0 and at most 1")
        require(
            paired or self.device_share == 1, f"device_share: {self.strategy} has steps or arms"
        )
        require(self.unit == "device" or self.strategy == "ab", "unit: only ab is by key")
        _check_amounts(self)
        _check_outcomes(self)

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """Cohorts by which it chooses devices, or the order in which they come."""
        every = (self.cohort, *(stage.cohort for stage in self.stages))
        return tuple(cohort for cohort in every if cohort is not None)

    @property
    def promotes(self) -> bool:
        """True if the arm that wins is to serve everybody."""
        return (self.on_success or self._default_end) == "promote"

    @property
    def tries_personalisation(self) -> bool:
        """True if it compares one version with its personal prior and without."""
        return any(arm.personalise is not None for arm in self.arms)

    @property
    def _default_end(self) -> str:
        # Whether units are personalised is the policy's to say, not a version to promote.
        concludes = self.strategy == "shadow" or self.tries_personalisation
        return "conclude" if concludes else "promote"

    @property
    def tried(self) -> tuple[ArmSpec, ...]:
        """Every candidate as an arm; where there is only one its weight means nothing."""
        if self.candidate is not None:
            return (ArmSpec(CANDIDATE, self.candidate, 0.5),)
        return self.arms

    @property
    def versions(self) -> str:
        """For people: ``1.1 and 1.2``."""
        return " and ".join(arm.shown for arm in self.tried)

    @property
    def path(self) -> tuple[StageSpec, ...]:
        """A canary's stages with their steps; one with its cohort where none are given."""
        stages = self.stages or (StageSpec(self.cohort),)
        return tuple(StageSpec(s.cohort, s.steps or self.steps) for s in stages)


def _check_amounts(spec: ExperimentSpec) -> None:
    for name, value, least in (
        ("soak", spec.soak_seconds, 0),
        ("soak_predictions", spec.soak_predictions, 0),
        ("minimum_outcomes", spec.minimum_outcomes, 0),
        ("minimum_devices", spec.minimum_devices, 1),
        ("no_data", spec.no_data_seconds, 1),
        ("unreachable", spec.unreachable_seconds, 1),
    ):
        if value is None:
            continue
        require(value >= least, f"{name}: expected at least {least}, got {value:g}")


def _check_arms(spec: ExperimentSpec) -> None:
    if spec.strategy == "ab":
        one = spec.candidate is None and bool(spec.arms)
        require(one, "arms: ab expects arms, each with name, version and weight, no candidate")
        names = [arm.name for arm in spec.arms]
        require(len(set(names)) == len(names), f"arms: expected different names, got {names}")
        versions = [arm.version for arm in spec.arms]
        apart = len(set(versions)) == len(versions)
        require(apart, f"arms: expected different versions, got {versions}; raise one's weight")
        _check_personalised(spec)
        # In slots, as the plan has them: weights of 0.1 do not add up exactly as floats.
        total = sum(round(arm.weight * SLOTS) for arm in spec.arms)
        left = f"expected a sum below 1, what is left is {CONTROL}'s; got {total / SLOTS:g}"
        require(total < SLOTS, f"weights: {left}")
    else:
        one = spec.candidate is not None and not spec.arms
        require(one, f"candidate: {spec.strategy} expects one version, and no arms")
        Version.parse(spec.candidate or "")


def _check_personalised(spec: ExperimentSpec) -> None:
    if not spec.tries_personalisation:
        return
    one = len(spec.arms) == 1
    require(one, "arms: with and without personalisation are compared alone; expected one arm")
    same = [o.name for o in spec.outcomes if o.metric not in ("served_accuracy", "reward")]
    require(
        not same,
        f"outcomes: both arms have one model, whose own answers are alike ({same}); expected "
        "served_accuracy or reward",
    )
    promoted = spec.on_success == "promote"
    require(not promoted, "on_success: expected conclude; edge-hub personalise says what serves")


def _check_outcomes(spec: ExperimentSpec) -> None:
    names = [outcome.name for outcome in spec.outcomes]
    require(len(set(names)) == len(names), "outcomes: expected different names")
    if spec.strategy == "ab":
        require(bool(names), "outcomes: ab needs one to decide on")
    if spec.strategy == "shadow":
        strange = [o.name for o in spec.outcomes if o.metric == "reward"]
        require(not strange, f"outcomes: nobody rewards a shadow's answers, got {strange}")
        unseen = [o.name for o in spec.outcomes if o.metric == "served_accuracy"]
        require(not unseen, f"outcomes: a shadow serves nobody: accuracy, not {unseen}")
        rooted = [o.name for o in spec.outcomes if o.metric == "rmse"]
        require(
            not rooted, f"outcomes: a shadow's numbers are paired one by one: mae, not {rooted}"
        )
    energy = [outcome.name for outcome in spec.outcomes if outcome.metric == "energy"]
    apart = spec.strategy != "shadow" and spec.unit == "device"
    what = "shadow" if spec.strategy == "shadow" else "test by key"
    one = f"both versions of a {what} run on the same device, which only knows what it draws"
    require(apart or not energy, f"outcomes: {one} as a whole; try {energy} by device instead")
    numbers = [o.name for o in spec.outcomes if o.metric in ("mae", "rmse")]
    unknown = (
        f"outcomes: buckets of keys have no errors of numbers; try {numbers} by device instead"
    )
    require(spec.unit == "device" or not numbers, unknown)
    _check_sessions(spec)


def _check_sessions(spec: ExperimentSpec) -> None:
    mixed = spec.strategy == "interleave"
    declared = mixed and spec.outcomes not in ((), ACCURACY)
    require(
        not declared,
        "outcomes: interleave is decided by sessions won, it has no others; minimum_effect says by "
        "how much more than half",
    )
    effect = spec.minimum_effect
    require(mixed or effect == 0, f"minimum_effect: {spec.strategy} has one for each outcome")
    require(0 <= effect < 0.5, f"minimum_effect: expected 0 to below 0.5, got {effect:g}")


def _check_stages(spec: ExperimentSpec) -> None:
    require(spec.strategy == "canary" or not spec.stages, f"stages: {spec.strategy} has none")
    require(not (spec.stages and spec.cohort), "cohort: the stages name theirs")
    for stage in spec.path:
        steps = stage.steps
        rising = bool(steps) and all(a < b for a, b in pairwise(steps))
        shown = ", ".join(f"{step:g}" for step in steps)
        require(rising, f"steps: expected shares that rise, got {shown or 'none'}")
        within = steps[0] > 0 and steps[-1] <= 1
        require(within, f"steps: expected above 0 and up to 1 (0.05 is 5%), got {shown}")
        require(
            steps[0] < 1, "steps: expected a first below 1, or there is nothing to compare with"
        )
    for i, stage in enumerate(spec.stages):
        cohort = stage.cohort
        before = [s.cohort for s in spec.stages[:i] if s.cohort is not None]
        seen = {v for c in before for v in c.values if cohort and c.attribute == cohort.attribute}
        left = cohort is None or set(cohort.values) - seen
        require(bool(left), f"stages: all of {stage.name} have had their turn before; leave it out")
    whole = [i for i, stage in enumerate(spec.stages) if stage.cohort is None]
    last = len(spec.stages) - 1
    require(whole in ([], [last]), "stages: one without a cohort is everybody left, so the last")


def parse_experiment(text: str, name: str = "experiment.yaml") -> ExperimentSpec:
    """Read an ``experiment.yaml``.

    Raises:
        Invalid: with the line, what was expected and what to do.
    """
    if not text.strip():
        raise Invalid(f"{name}: expected model, strategy and candidate (or arms); it is empty")
    return read_yaml(ExperimentSpec, text, name)


def cohort_name(cohort: Cohort | None) -> str:
    """For people and audit."""
    return f"{cohort.attribute}={','.join(cohort.values)}" if cohort else "everybody"


def judged_by_labels(spec: ExperimentSpec) -> bool:
    """Return whether an outcome of serving arms is the accuracy of late labels."""
    serves = spec.strategy in ("canary", "ab")
    return serves and any(outcome.metric in OF_LABELS for outcome in spec.outcomes)


def band_of(spec: ExperimentSpec) -> float:
    """Return how much accuracy unequal labelling may hide beyond what the outcome may lose."""
    margins = [o.minimum_effect for o in spec.outcomes if o.metric in OF_LABELS]
    return spec.labels.band or max(margins, default=0.0) or BAND
