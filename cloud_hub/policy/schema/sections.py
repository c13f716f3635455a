"""The policy's sections and their defaults. Times in seconds, shares between 0 and 1.

Contradictions are refused here: a rule that can never fire, or a section that waits for something
that another section switches off, must not look as if it worked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from cloud_hub.policy.schema.alarms import AlarmPolicy
from cloud_hub.policy.schema.approvals import ApprovalPolicy
from cloud_hub.policy.schema.batch import BatchJob
from cloud_hub.policy.schema.calendar import CalendarPolicy, RareDay
from cloud_hub.policy.schema.conditions import Condition, DayRule
from cloud_hub.policy.schema.monitoring import MonitoringPolicy
from cloud_hub.policy.schema.personalise import PersonalisePolicy
from cloud_hub.policy.schema.refusals import RefusalPolicy
from cloud_hub.policy.schema.rehearsal import RehearsalPolicy
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.policy.schema.validation import ValidationPolicy
from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import GROUPS
from edge_sdk.contract.names import check_name, check_provider
from edge_sdk.contract.plan import Strategy
from edge_sdk.contract.serving_terms import CascadePolicy, Reporting, Sharing


@dataclass(frozen=True)
class TriggerRule:
    """A rule that starts a run when its condition holds.

    The condition must hold for ``hold_seconds`` without a break; the serving version must be
    ``not_before_seconds`` old and have ``minimum_labels`` late labels; ``cooldown_seconds`` pass
    between two firings. A rule over a state is latched after it fired, until it is re-armed by
    hand or another version serves. ``mode`` replaces the one of ``train``.
    """

    name: str
    when: Condition
    hold_seconds: float = 0.0
    not_before_seconds: float = 0.0
    cooldown_seconds: float = 3_600.0
    minimum_labels: int = 0
    mode: Literal["stateful", "stateless"] | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        for name in ("hold_seconds", "not_before_seconds", "cooldown_seconds", "minimum_labels"):
            require(getattr(self, name) >= 0, f"{name}: expected at least 0")
        # A cool-down longer than the interval would silently become the interval.
        every = self.when.every_seconds
        longest = max(self.cooldown_seconds, self.not_before_seconds)
        require(
            every is None or longest <= every,
            f"every: expected at least the cooldown and not_before ({longest:g} s), or it can "
            f"never keep its interval of {every:g} s" if every else "",
        )  # fmt: skip


@dataclass(frozen=True)
class BudgetPolicy:
    """Runs that triggers may start in seven days; runs by hand are not limited."""

    runs_per_week: int = 7

    def __post_init__(self) -> None:
        require(self.runs_per_week >= 1, "runs_per_week: expected at least 1")


@dataclass(frozen=True)
class TrainPolicy:
    """Training of a run: exactly one of ``entry`` (``module:function`` of ``train(context)``),
    ``command`` (a program and its arguments) and ``webhook`` (the URL of a pipeline).

    ``minimum_samples`` fresh labelled rows are waited for, at most ``wait_seconds``. A training may
    take ``timeout_seconds`` and hold ``memory_mb`` in RAM. ``path`` is put before Python's own, or
    is where the command runs. A webhook gets the token that the hub's environment has as
    ``token_env``, and reaches the hub at ``reach``. ``validation`` has the thresholds of the checks
    of data before, ``rehearsal`` says how many old rows are among the fresh ones.
    """

    entry: str | None = None
    command: tuple[str, ...] | None = None
    webhook: str | None = None
    mode: Literal["stateful", "stateless"] = "stateful"
    minimum_samples: int = 200
    wait_seconds: float = 86_400.0
    timeout_seconds: float = 3_600.0
    memory_mb: int = 4_096
    path: str | None = None
    seed: int = 0
    token_env: str | None = None
    reach: str | None = None
    validation: ValidationPolicy = ValidationPolicy()
    rehearsal: RehearsalPolicy = RehearsalPolicy()

    def __post_init__(self) -> None:
        present = [n for n in ("entry", "command", "webhook") if getattr(self, n) is not None]
        require(
            len(present) == 1, f"expected exactly one of entry, command, webhook, got {present}"
        )
        if self.entry is not None:
            module, _, function = self.entry.partition(":")
            require(bool(module and function), "entry: expected module:function")
        require(self.command != (), "command: expected a program and its arguments")
        hooked = self.webhook is not None
        require(not hooked or _is_url(self.webhook), "webhook: expected http:// or https://")
        require(hooked or self.reach is None, "reach: only a webhook reaches the hub")
        require(hooked or self.token_env is None, "token_env: only a webhook gets a token")
        for name in ("timeout_seconds", "memory_mb"):
            require(getattr(self, name) > 0, f"{name}: expected more than 0")
        require(self.minimum_samples >= 0, "minimum_samples: expected at least 0")
        require(0 <= self.seed < 1 << 32, "seed: expected 0 to below 2**32, as NumPy takes it")


def _is_url(text: str | None) -> bool:
    return text is not None and text.startswith(("http://", "https://"))


@dataclass(frozen=True)
class GroupRule:
    """Rows with one value of ``by`` are a group: ``label``, or the name of a column, cut at
    ``edges`` where those are given, else as the release declares its groups. A group of at least
    ``minimum_rows`` fails if its accuracy surely drops by more than ``max_drop``: over all groups
    of the rule, a candidate is refused wrongly with a chance of at most the gate's ``alpha``.
    """

    by: str
    edges: tuple[float, ...] = ()
    max_drop: float = 0.05
    minimum_rows: int = 30

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.edges))
        require(rising, "edges: expected numbers that rise")
        require(len(self.edges) < GROUPS, f"edges: expected fewer than {GROUPS}")
        require(not (self.edges and self.by == "label"), "edges: are for columns, not for labels")
        require(self.minimum_rows >= 1, "minimum_rows: expected at least 1")


@dataclass(frozen=True)
class GatePolicy:
    """Thresholds of the offline gate.

    ``max_fresh_drop`` and ``max_forgetting`` are losses of accuracy on fresh rows and on the old
    holdout (of models that answer with a value: by which share the mean absolute error may rise).
    The rows must show that a candidate loses less; one that loses as much passes with a chance of
    at most ``alpha``, over all uses of the same rows. 0 asks for a candidate that is surely better.
    A slice below ``minimum_rows`` has no say, and a run needs one that has. ``calibration``
    (Brier score, or expected calibration error) may rise by ``max_calibration_rise``; a row may
    take ``max_slowdown`` times what it takes now, measured at the hub in turns.
    """

    max_fresh_drop: float = 0.02
    max_forgetting: float = 0.02
    alpha: float = 0.05
    minimum_rows: int = 50
    groups: tuple[GroupRule, ...] = ()
    calibration: Literal["brier", "ece"] = "brier"
    max_calibration_rise: float | None = None
    max_bytes: int | None = None
    max_slowdown: float | None = None

    def __post_init__(self) -> None:
        require(self.minimum_rows >= 1, "minimum_rows: expected at least 1")
        for name in ("max_fresh_drop", "max_forgetting"):
            require(0 <= getattr(self, name) <= 1, f"{name}: expected a share, 0 to 1")
        require(0 < self.alpha < 0.5, "alpha: expected above 0 and below 0.5")
        require(self.max_bytes is None or self.max_bytes > 0, "max_bytes: expected more than 0")
        slower = self.max_slowdown
        require(slower is None or slower > 0, "max_slowdown: expected more than 0")
        by = [rule.by for rule in self.groups]
        require(len(set(by)) == len(by), "groups: expected different columns")


@dataclass(frozen=True)
class ExperimentPolicy:
    """Experiment that tries a candidate that passed the gate, and what it needs to win.

    ``canary``: shares of the fleet in rising ``steps``. ``ab``: ``share`` of the devices (half of
    them by default). ``shadow``, ``interleave``: beside what serves, for ``share`` of the requests
    (all of them by default). ``margin`` is the loss of accuracy that would still be acceptable (2
    points by default), or with ``metric: mae`` or ``rmse`` the rise of a regressor's error, in the
    unit of the target;
    ``alpha`` the chance of a wrong verdict; ``minimum_labels`` are needed on each arm, and fewer
    than ``minimum_devices`` decide nothing; ``soak_seconds`` is the least time in a step; a
    candidate that surely fails on more than a share ``max_failed_devices`` of its devices is
    withdrawn. A window's labels count ``label_settle_seconds`` after its end (left out: once nearly
    all have come), and unequal labelling may hide ``label_band`` of accuracy beyond the margin
    (left out: as much as the margin). ``approval``: what won waits for a person. ``on_success``: it
    is promoted, or the experiment just concludes (a shadow does by default: nobody was served by
    it).
    """

    strategy: Strategy = "canary"
    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 1.0)
    share: float | None = None
    minimum_devices: int = 3
    minimum_labels: int = 100
    soak_seconds: float = 600.0
    metric: Literal["accuracy", "mae", "rmse"] = "accuracy"
    margin: float | None = None
    alpha: float = 0.05
    max_failed_devices: float = 0.05
    label_settle_seconds: float | None = None
    label_band: float | None = None
    approval: bool = False
    on_success: Literal["promote", "conclude"] | None = None

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.steps))
        require(bool(self.steps) and rising, "steps: expected shares that rise")
        require(self.steps[0] > 0 and self.steps[-1] <= 1, "steps: expected shares up to 1")
        canary = self.strategy == "canary"
        require(not canary or self.share is None, "share: a canary has steps")
        # An A/B test without a control compares nothing.
        most = 1.0 if self.strategy != "ab" else 0.99
        fits = self.share is None or 0 < self.share <= most
        require(fits, f"share: expected above 0 and at most {most:g}")
        require(self.minimum_devices >= 1, "minimum_devices: expected at least 1")
        share = "max_failed_devices: expected a share of the devices, 0 to below 1 (0.05 is 5%)"
        require(0 <= self.max_failed_devices < 1, share)
        require(self.minimum_labels >= 0, "minimum_labels: expected at least 0")
        self._check_margin()
        settles = self.label_settle_seconds
        require(settles is None or settles >= 0, "label_settle: expected at least 0")
        band = self.label_band
        require(band is None or 0 < band < 1, "label_band: expected above 0 and below 1")
        require(0 < self.alpha < 0.5, "alpha: expected above 0 and below 0.5")

    def _check_margin(self) -> None:
        if self.metric == "accuracy":
            require(0 <= self.acceptable < 0.5, "margin: expected 0 to below 0.5")
            return
        declared = self.margin is not None and self.margin >= 0
        unit = f"how far {self.metric} may rise, in the unit of the target"
        require(declared, f"margin: expected 0 or more, {unit}")
        require(self.strategy != "interleave", "metric: interleave is decided by sessions won")
        paired = self.strategy == "shadow" and self.metric == "rmse"
        require(not paired, "metric: a shadow's numbers are paired one by one: mae, not rmse")

    @property
    def acceptable(self) -> float:
        """The loss that would still be acceptable, in the unit of ``metric``."""
        return 0.02 if self.margin is None else self.margin


@dataclass(frozen=True)
class PackPolicy:
    """``entries`` answers to keys that ``minimum_devices`` voted for, anew ``every_seconds``."""

    every_seconds: float = 0.0
    minimum_devices: int = 20
    entries: int = 10_000
    expires_seconds: float = 30 * 86_400.0

    def __post_init__(self) -> None:
        for name in ("minimum_devices", "entries"):
            require(getattr(self, name) >= 1, f"{name}: expected at least 1")
        require(self.expires_seconds > 0, "expires_seconds: expected more than 0")


@dataclass(frozen=True)
class Policy:
    """The policy of one model. ``cloud`` names the model line that answers for the cloud;
    ``providers`` are the accelerators on which devices may run it, all that they have by default.
    """

    model: str | None = None
    cloud: str | None = None
    reporting: Reporting = Reporting()
    sharing: Sharing = Sharing()
    cascade: CascadePolicy = CascadePolicy()
    providers: tuple[str, ...] = ()
    personalise: PersonalisePolicy = PersonalisePolicy()
    packs: PackPolicy = PackPolicy()
    monitoring: MonitoringPolicy = MonitoringPolicy()
    retention: Retention = Retention()
    triggers: tuple[TriggerRule, ...] = ()
    budget: BudgetPolicy = BudgetPolicy()
    calendar: CalendarPolicy = CalendarPolicy()
    train: TrainPolicy | None = None
    gate: GatePolicy = GatePolicy()
    experiment: ExperimentPolicy = ExperimentPolicy()
    refusals: RefusalPolicy = RefusalPolicy()
    approvals: ApprovalPolicy = ApprovalPolicy()
    alarms: AlarmPolicy = AlarmPolicy()
    batch: dict[str, BatchJob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model is not None:
            check_name("model", self.model)
        for name in self.providers:
            check_provider("providers", name)
        for name in self.batch:
            check_name("batch", name)
        held = [name for name, job in self.batch.items() if job.entities is not None]
        require(len(held) <= 1, f"batch: devices hold the entities of one job, got {held}")
        names = [rule.name for rule in self.rules]
        require(len(set(names)) == len(names), "triggers: expected different names")
        self._check_days()
        self._check_sharing()
        self._check_sources()

    @property
    def rules(self) -> tuple[TriggerRule, ...]:
        """The rules that start runs: the triggers, and those of days that train more often."""
        return (*self.triggers, *(_rule_of(day) for day in self.calendar.days if _trains(day)))

    @property
    def needs_accuracy(self) -> bool:
        """Return whether a trigger or an experiment needs labels that are right or wrong."""
        leaves = (leaf for rule in self.triggers for leaf in rule.when.leaves())
        tries = self.train is not None and self.experiment.strategy != "interleave"
        tries = tries and self.experiment.metric == "accuracy"
        rules = (leaf.performance for leaf in leaves if leaf.performance is not None)
        return tries or any(rule.below is not None for rule in rules)

    def _check_days(self) -> None:
        """Refuse rules over days that the calendar does not have, and days that cannot train."""
        names = [day.name for day in self.calendar.days]
        for i, rule in enumerate(self.triggers):
            missing = [x.day.name for x in rule.when.leaves() if x.day and x.day.name not in names]
            require(
                not missing,
                f"triggers[{i}]: day: the calendar has no {missing[0]!r}, only {names}"
                if missing
                else "",
            )
        for day in self.calendar.days:
            trains = self.train is not None or not _trains(day)
            require(trains, f"calendar: {day.name} has train_every, but the policy has no train")

    def _check_sharing(self) -> None:
        """Refuse rules that wait for shared rows where none are shared."""
        shares = self.sharing.samples
        require(
            not shares or self.sharing.per_window > 0,
            "sharing: samples is true, but per_window is 0, so nothing is ever shared",
        )
        require(
            shares or not self.sharing.tensor_bytes,
            "sharing: tensor_bytes is set, but samples is false, so nothing is ever shared",
        )
        for i, rule in enumerate(self.triggers):
            counts = any(leaf.volume for leaf in rule.when.leaves())
            message = f"triggers[{i}]: volume counts shared rows, but sharing.samples is false"
            require(shares or not counts, message)
            trains = rule.mode is None or self.train is not None
            require(trains, f"triggers[{i}]: has a mode, but the policy has no train")
        waits = self.train is not None and self.train.minimum_samples > 0
        message = "train: waits for minimum_samples shared rows, but sharing.samples is false"
        require(shares or not waits, message)

    def _check_sources(self) -> None:
        """Refuse packs without votes, and a cloud that always answers without a name."""
        votes = self.packs.every_seconds <= 0 or self.reporting.votes > 0
        require(votes, "packs: are built from votes, but reporting.votes is 0")
        clouded = self.cascade.mode != "cloud" or self.cloud is not None
        require(clouded, "cascade: mode is cloud, but the policy names no cloud model")


def _trains(day: RareDay) -> bool:
    return day.train_every_seconds is not None


def _rule_of(day: RareDay) -> TriggerRule:
    """The trigger that ``train_every`` of a day stands for."""
    assert day.train_every_seconds is not None
    condition = DayRule(day.name, day.train_every_seconds, day.runs)
    return TriggerRule(f"day-{day.name}", Condition(day=condition), cooldown_seconds=0.0)
