"""Labels that come late and not at random: what is promoted, and what is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.fleets import TRIED
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level, power
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.label_table import LabelTable
from cloud_hub.experiments.verdict.labelling import settle
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics.label_coverage import AGES, HOUR, YOUNGEST, WindowLabels, age_bin
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.names import CONTROL

DAY: Final = 24
"""Hours between the ends of windows."""

DAYS: Final = 14
LOOKS: Final = range(2, DAYS + 1, 2)
RUNS: Final = 400
SPEC: Final = ExperimentSpec(
    "fleet", "canary", candidate=TRIED.version, steps=(0.5, 1.0), soak_seconds=0.0
)
AGE_EDGES: Final = {YOUNGEST / HOUR * 2**i for i in range(AGES - 1)}
EDGES: Final = sorted(AGE_EDGES | {float(DAY * d) for d in range(1, DAYS + 1)})
"""Hours of age at which labels are told apart: by bins, and by looks."""

BINS: Final = np.array([0, *(age_bin(HOUR * (edge + 0.1)) for edge in EDGES[:-1])])
Fate = Literal["promoted", "aborted", "waiting"]


@dataclass(frozen=True)
class Labelling:
    """Shares of right and of wrong answers that ever get a label, and after how many hours."""

    right: float = 0.7
    wrong: float = 0.7
    right_hours: float = 6.0
    wrong_hours: float = 6.0

    def cells(self) -> tuple[Floats, Floats]:
        """Chances that the label of a right, or a wrong, answer comes between two of the edges."""
        edges = np.array([0, *EDGES])
        both = ((self.right, self.right_hours), (self.wrong, self.wrong_hours))
        right, wrong = (share * -np.diff(np.exp(-edges / hours)) for share, hours in both)
        return right, wrong


@dataclass(frozen=True)
class Case:
    """A candidate that is ``worse`` by so much accuracy, and how both arms are labelled.

    ``devices`` an arm make ``answers`` a day each; ``differ`` is the correlation of outcomes, and
    of having a label, within a device.
    """

    name: str
    worse: float = 0.0
    control: Labelling = Labelling()
    candidate: Labelling = Labelling()
    devices: int = 20
    answers: int = 600
    differ: float = 0.0
    accuracy: float = 0.9


EQUAL: Final = Labelling()
HALF: Final = Labelling(wrong=0.35)
LATER: Final = Labelling(wrong_hours=72.0)
WORSE: Final = (
    Case("4 points worse, its wrong answers labelled half as often", 0.04, EQUAL, HALF),
    Case("the same, a tenth of all answers labelled", 0.04, Labelling(0.1, 0.1),
         Labelling(0.1, 0.05)),
    Case("4 points worse, wrong answers labelled a quarter as often on both arms", 0.04,
         Labelling(wrong=0.175), Labelling(wrong=0.175)),
    Case("4 points worse, labels of wrong answers after 3 days, of others after 6 hours", 0.04,
         LATER, LATER),
    Case("the same, on the candidate only", 0.04, EQUAL, LATER),
    Case("the same, on the candidate only and after a week", 0.04, EQUAL,
         Labelling(wrong_hours=168.0)),
    Case("4 points worse, its right answers labelled more often (85% of them)", 0.04, EQUAL,
         Labelling(right=0.85)),
    Case("4 points worse, labelled alike", 0.04),
)  # fmt: skip
HEALTHY: Final = (
    Case("labelled alike"),
    Case("labelled alike, a tenth of the answers", 0.0, Labelling(0.1, 0.1), Labelling(0.1, 0.1)),
    Case("labels of wrong answers after 3 days on both arms", 0.0, LATER, LATER),
    Case("wrong answers labelled half as often on both arms", 0.0, HALF, HALF),
    Case("its wrong answers labelled twice as often", 0.0, HALF, EQUAL),
    Case("labels of its right answers after 3 days", 0.0, EQUAL, Labelling(right_hours=72.0)),
    Case("labelled alike, correlation .001 within devices", differ=0.001),
)


def run(effort: Effort) -> list[Row]:
    """Candidates that are worse, and healthy ones; each also as labels were counted before."""
    rows: list[Row] = []
    for case in effort.cells(WORSE, quick=1):
        fates = _fates(case, effort.runs_for_level(RUNS, 0.025))
        promoted = fates.count("promoted")
        rows.append(
            level(f"candidate: {case.name}: promoted", promoted, len(fates), 0.025, claim="3")
        )
        rows.append(_before(case, "promoted", effort))
    for case in effort.cells(HEALTHY, quick=0):
        fates = _fates(case, effort.runs(RUNS))
        promoted, aborted = (fates.count(what) for what in ("promoted", "aborted"))
        name = f"healthy candidate: {case.name}"
        rows.append(
            power(f"{name}: promoted", promoted, len(fates), 0.8, claim="3")
            if case is HEALTHY[0]
            else Row(f"{name}: promoted", "", exact_rate(promoted, len(fates)), claim="3")
        )
        rows.append(level(f"{name}: aborted", aborted, len(fates), 0.01, claim="3"))
    return rows


def _fates(case: Case, runs: int) -> list[Fate]:
    return [fate(case, number) for number in range(runs)]


def _before(case: Case, what: Fate, effort: Effort) -> Row:
    fates = [fate(case, number, settled=False) for number in range(effort.runs(RUNS // 4))]
    result = exact_rate(fates.count(what), len(fates))
    return Row("the same runs, had every label counted as it came", "", result, claim="3")


def fate(case: Case, number: int, *, settled: bool = True, spec: ExperimentSpec = SPEC) -> Fate:
    """Return what the hub's gate has done within :data:`DAYS`, at the :data:`LOOKS`.

    Args:
        case: what is simulated.
        number: of the run.
        settled: as the gate judges; else labels count as they come, and shares are not compared.
        spec: the experiment.
    """
    # Words of the case as seed, so that a case keeps its runs when others are added.
    random = generator(17, number, *case.name.encode())
    arms = {
        CONTROL: _labels(random, case, case.control, case.accuracy),
        CANDIDATE: _labels(random, case, case.candidate, case.accuracy - case.worse),
    }
    for day in LOOKS:
        evidence = _evidence(case, arms, day, spec, settled=settled)
        action = judge(spec, evidence, {}).action
        if action in ("pass", "abort"):
            return "promoted" if action == "pass" else "aborted"
    return "waiting"


Counts = NDArray[np.int64]


def _labels(
    random: np.random.Generator, case: Case, labelling: Labelling, accuracy: float
) -> tuple[Counts, Counts]:
    """Labels that come of right and of wrong answers, [devices, days, cells]."""
    own = _own(random, np.array(accuracy), case)
    right = random.binomial(case.answers, own[:, None], (case.devices, DAYS))
    shares = _own(random, np.array([labelling.right, labelling.wrong]), case)
    found = []
    for answers, cells, share, chance in zip(
        (right, case.answers - right), labelling.cells(), shares.T,
        (labelling.right, labelling.wrong), strict=True,
    ):  # fmt: skip
        mine = cells[None, :] * (share / chance)[:, None]
        never = 1 - mine.sum(axis=-1, keepdims=True)
        chances = np.concatenate([mine, never], axis=-1)[:, None, :]
        found.append(random.multinomial(answers, chances)[..., :-1])
    return found[0], found[1]


def _own(random: np.random.Generator, share: Floats, case: Case) -> Floats:
    """A share of each device, [devices, ...], with the case's correlation within devices."""
    size = (case.devices, *share.shape)
    if not case.differ:
        return np.broadcast_to(share, size)
    strength = 1 / case.differ - 1
    return random.beta(share * strength, (1 - share) * strength, size)


def _evidence(
    case: Case,
    arms: dict[str, tuple[Counts, Counts]],
    day: int,
    spec: ExperimentSpec,
    *,
    settled: bool,
) -> Evidence:
    table = _table(case, arms, day)
    labelled = table.windows.labelled.sum(axis=1)
    accuracy = table.by_arm(table.windows.correct, labelled)
    found = {name: _arm(case, accuracy[name], day) for name in arms}
    if not settled:
        return Evidence(found, soaked=86_400.0 * day)
    judged, settling = settle(spec.labels, found, table, table, float(HOUR * DAY * day))
    return Evidence(judged, soaked=86_400.0 * day, settling=settling)


def _table(case: Case, arms: dict[str, tuple[Counts, Counts]], day: int) -> LabelTable:
    """What has come by the end of a day, of windows that end with each."""
    seats = tuple((name, f"{name}-{i}") for name in arms for i in range(case.devices))
    right, wrong = (np.concatenate([arm[i] for arm in arms.values()])[:, :day] for i in (0, 1))
    age = DAY * (day - np.arange(1, day + 1))
    came = np.array(EDGES)[None, :] <= age[:, None]
    cells = (right + wrong) * came
    labelled = np.stack([cells[..., k == BINS].sum(axis=-1) for k in range(AGES)], axis=-1)
    flat = (len(seats) * day,)
    windows = WindowLabels(
        np.broadcast_to(float(HOUR * DAY) * np.arange(1, day + 1), (len(seats), day)).reshape(flat),
        np.full(flat, float(case.answers)),
        labelled.reshape(-1, AGES).astype(np.float64),
        (right * came).sum(axis=-1).reshape(flat).astype(np.float64),
    )
    return LabelTable(
        seats, np.repeat(np.arange(len(seats)), day), np.zeros(flat, np.int64), windows,
        np.zeros((*flat, 2)),
    )  # fmt: skip


def _arm(case: Case, accuracy: Mapping[str, tuple[float, float, float]], day: int) -> ArmEvidence:
    """An arm with every label that has come."""
    wrong = {(device, 0): (round(n - x), round(n)) for device, (n, x, _) in accuracy.items()}
    return ArmEvidence(
        {"accuracy": accuracy},
        {"wrong labels": wrong},
        exposed=frozenset(accuracy),
        predictions=case.answers * case.devices * day,
    )


PART = Part(
    "Late labels",
    "A canary on half of 40 devices that answer 600 times a day each, nine of ten answers right "
    "and seven of ten labelled, after six hours on average, where nothing else is said; looked at "
    "every other day for two weeks. Accuracy may drop by 2 points.",
    run,
    quick=True,
)
