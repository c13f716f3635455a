"""Learning from devices: when enough of them have said how their units differ, the next generation.

The loop looks at what came; a person sees the same figures. A generation is made of the reports
about the one before alone, so that no unit counts twice in it, and while an experiment runs none
is: its arms stay what they were declared as.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.personalise.learned.aggregates import (
    ALPHA,
    OUTCOMES,
    Learned,
    by_cohort,
    learned,
    voices_of,
)
from cloud_hub.personalise.learned.next_generation import Step, next_prior
from cloud_hub.registry.per_model import for_each
from cloud_hub.telemetry.personal_reports import StoredReport, arrivals_of, reports_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.personalise.service import Personalise
    from cloud_hub.personalise.store import PriorRecord
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.personalise import PersonalisePolicy
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.personal.report import PersonalReport

DAY: Final = 86_400.0

LEAST_VOICES: Final = 20
"""Voices below which nothing is learned, however small the minimum of units is."""

LOOK_SECONDS: Final = 60.0
"""Between two looks at one model."""

ACTOR: Final = "hub"


@dataclass(frozen=True)
class PersonalEvidence:
    """What devices said of a generation, for people.

    Attributes:
        model: name of the line.
        generation: that they spoke of.
        voices: devices that reported; those of one voucher are one.
        needed: voices from which on anything is said.
        units: of theirs.
        noisy: whether their sums have noise.
        served: share of labelled predictions that were served personalised.
        off: share of units whose guard keeps the personalised answers back.
        outcomes: shares of labels by which answers were right: ``both``, ``model_only``,
            ``personal_only`` and ``neither``.
        gain: mean gain, and the ends of its interval at every look.
        better: share of units that gained.
        worse: share of units that lost.
        losses: mean log loss of the release's answers, and of the personalised.
        said: the same in words.
    """

    model: str
    generation: int
    voices: int
    needed: int
    units: float = 0.0
    noisy: bool = False
    served: float | None = None
    off: float | None = None
    outcomes: Mapping[str, float] | None = None
    gain: tuple[float, float, float] | None = None
    better: float | None = None
    worse: float | None = None
    losses: tuple[float, float] | None = None
    said: str = ""


class Learning:
    """What the hub learns from devices' sums over units.

    Args:
        engine: of the hub's database.
        registry: policies of models.
        plans: that serve.
        personalise: makes generations.
    """

    def __init__(
        self, engine: Engine, registry: Registry, plans: Plans, personalise: Personalise
    ) -> None:
        self._engine, self._registry = engine, registry
        self._plans, self._personalise = plans, personalise
        self._looked: dict[str, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def tick(self, now: float) -> None:
        """Make the next generation of each model whose devices have said enough."""
        for_each(self._registry.models(), lambda model: self._look(model, now))

    def evidence(self, model: str) -> PersonalEvidence | None:
        """Return what devices said of the prior that serves; ``None`` if there is none."""
        record, needed = self._serving(model), self._needed(model)
        if record is None:
            return None
        voices = voices_of(_of(reports_of(self._engine, model, record.generation)))
        said = learned(voices, _salt(record)) if len(voices) >= needed else None
        if said is None:
            few = f"{len(voices)} of {needed} devices have reported their sums"
            return PersonalEvidence(model, record.generation, len(voices), needed, said=few)
        return _evidence(record, needed, said)

    def _look(self, model: str, now: float) -> None:
        if now - self._looked.get(model, -LOOK_SECONDS) < LOOK_SECONDS:
            return
        self._looked[model] = now
        plan, record = self._plans.current(model), self._serving(model)
        if record is None or plan is None or plan.experiment is not None:
            return
        if self._is_superseded(record):
            return
        count, first = arrivals_of(self._engine, model, record.generation)
        # Others got the prior later, or were offline: they have as long to report as the first.
        waits = now < first + self._policy(model).report_days * DAY
        if count < self._needed(model) or waits or not self._is_new(record, count):
            return
        step = self._step(record)
        if self._is_superseded(record):  # meanwhile: a step takes long
            return
        if step is not None and step[0].matters:
            self._publish(record, *step)
        self._seen[model] = (record.generation, count)

    def _is_superseded(self, record: PriorRecord) -> bool:
        """Whether a newer prior waits for its plan: no device spoke of it, so it is not undone."""
        return self._personalise.store.newest(record.model, record.manifest) != record

    def _is_new(self, record: PriorRecord, count: int) -> bool:
        """Whether a tenth more devices have reported than at the last look; all that came count."""
        generation, seen = self._seen.get(record.model, (0, 0))
        return generation != record.generation or count >= 1.1 * seen

    def _step(self, record: PriorRecord) -> tuple[Step, Learned] | None:
        reports = _of(reports_of(self._engine, record.model, record.generation))
        needed, salt = self._needed(record.model), _salt(record)
        voices = voices_of(reports)
        everybody = learned(voices, salt) if len(voices) >= needed else None
        if everybody is None:
            return None
        cohorts = {}
        heard = [(voice.name, report) for voice in voices for report in voice.reports]
        for name, mine in by_cohort(heard).items():
            some = voices_of(mine)
            found = learned(some, salt) if len(some) >= needed else None
            if name and found is not None:
                cohorts[name] = found
        return next_prior(self._personalise.prior(record), everybody, cohorts), everybody

    def _publish(self, record: PriorRecord, step: Step, everybody: Learned) -> None:
        found = _evidence(record, 0, everybody)
        assert found.gain is not None
        figures = {
            "units": everybody.units, "voices": float(everybody.voices), "moved": step.moved,
            "gain": found.gain[0], "gain_low": found.gain[1], "gain_high": found.gain[2],
        }  # fmt: skip
        noise = ", with noise" if everybody.noisy else ""
        self._personalise.publish(
            step.prior, figures=figures, verdict=found.said,
            said=("units keep what was learned of them",), actor=ACTOR,
            source=f"sums over units of {everybody.voices} devices about generation "
            f"{record.generation}{noise}",
        )  # fmt: skip

    def _serving(self, model: str) -> PriorRecord | None:
        """The prior that the plan hands out."""
        plan = self._plans.current(model)
        if plan is None or plan.personalise is None or plan.serving.prior is None:
            return None
        digest = plan.serving.prior.file.sha256
        records = self._personalise.store.records(model)
        return next((r for r in reversed(records) if r.sha256 == digest), None)

    def _needed(self, model: str) -> int:
        return max(self._policy(model).minimum_units, LEAST_VOICES)

    def _policy(self, model: str) -> PersonalisePolicy:
        return self._registry.policy(model).personalise


def _of(reports: Iterable[StoredReport]) -> list[tuple[str, PersonalReport]]:
    return [(each.voucher, each.report) for each in reports]


def _salt(record: PriorRecord) -> str:
    # The digest of the file: no device knew it when it joined, and so got its name.
    return ".".join((str(record.generation), record.sha256))


def _evidence(record: PriorRecord, needed: int, said: Learned) -> PersonalEvidence:
    gain, verdict = said.gain, said.gain.helps
    words = {True: "helps", False: "harms", None: "is not shown to help or to harm"}[verdict]
    sentence = (
        f"personalising {words}: labels right {gain.mean:+.2%} in [{gain.low:+.2%}, "
        f"{gain.high:+.2%}] over {said.voices} devices, at {1 - ALPHA:.0%} whenever one looks"
    )
    return PersonalEvidence(
        record.model, record.generation, said.voices, needed, said.units, said.noisy, said.served,
        said.off,
        dict(zip(OUTCOMES, said.outcomes.tolist(),
                 strict=True)),
        (gain.mean, gain.low, gain.high), said.better, said.worse,
        (float(said.losses[0]), float(said.losses[1])), sentence,
    )  # fmt: skip
