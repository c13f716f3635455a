"""Conditions of triggers. They combine with ``all`` and ``any``."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, Literal

from edge_sdk.contract.errors import ContractError, require

Kind = Literal["drift", "domain", "devices", "concept", "estimate", "fairness"]
STATES: Final = ("performance", "volume", "drift")
"""Conditions that last until somebody acts; the others are events."""


@dataclass(frozen=True)
class PerformanceRule:
    """Accuracy on late labels has fallen below ``below``, as an e-detector shows it.

    While it has not, the mean time to a firing is at least ``false_alarm_every_seconds`` (with
    ``by``: of all groups together), however often one looks; so the chance of one within a year is
    at most a year's share of it. Labels count, of the serving version's own answers, for
    predictions of the last ``lookback_seconds`` before they are first looked at; at least
    ``minimum`` must be of that time. With ``by`` those of one group are enough: of rows by a column
    that the release declares, or of devices by an attribute.

    ``mae_above`` instead, of a regressor: its mean absolute error has risen above that, in the unit
    of the target. All labels since the version began are watched for the moment, so there is no
    lookback, and a false alarm is once in a number of labels, not in a time.
    """

    below: float | None = None
    minimum: int = 500
    lookback_seconds: float = 86_400.0
    by: str | None = None
    false_alarm_every_seconds: float = 7_300 * 86_400.0
    mae_above: float | None = None

    def __post_init__(self) -> None:
        require(self.by != "", "by: expected a column or an attribute")
        below, above = self.below, self.mae_above
        one = (below is None) != (above is None)
        require(one, "expected either below, an accuracy, or mae_above, a mean absolute error")
        fits = below is None or 0 < below <= 1
        require(fits, "below: expected an accuracy, above 0 and up to 1")
        require(above is None or above > 0, "mae_above: expected more than 0")
        require(above is None or self.by is None, "by: groups have accuracies, not mae")
        require(self.minimum >= 1, "minimum: expected at least 1")
        require(self.lookback_seconds > 0, "lookback_seconds: expected more than 0")
        rare = self.false_alarm_every_seconds > 0
        require(rare, "false_alarm_every: expected more than 0")

    @property
    def least_accuracy(self) -> float:
        """The limit of a rule by accuracy; nothing is below that of one by ``mae_above``."""
        return 0.0 if self.below is None else self.below


@dataclass(frozen=True)
class VolumeRule:
    """Labelled rows shared since the serving version reach ``growth`` of its training rows."""

    growth: float = 0.05

    def __post_init__(self) -> None:
        require(self.growth > 0, "growth: expected more than 0")


@dataclass(frozen=True)
class DriftRule:
    """Monitoring has open alarms of the serving version, at least ``signals`` of these ``kinds``.

    What becomes an alarm is the policy's section ``monitoring``: after how many windows, of how
    many observations, with or without outputs. Kinds: ``drift`` (a distribution moved), ``domain``
    (values that training never saw), ``devices`` (some devices or cohorts changed), ``concept``
    (errors on late labels rose), ``estimate`` (accuracy as confidence promises it fell),
    ``fairness`` (groups of rows or devices differ).
    """

    kinds: tuple[Kind, ...] = ("drift", "domain", "concept")
    signals: int = 1

    def __post_init__(self) -> None:
        require(bool(self.kinds), "kinds: expected at least one")
        require(self.signals >= 1, "signals: expected at least 1")


@dataclass(frozen=True)
class DayRule:
    """The rare day ``name`` of the policy's calendar is open, and ``every_seconds`` passed since
    the rule fired on it. Runs that it starts are not of the budget: it starts at most ``runs`` each
    time the day comes.
    """

    name: str
    every_seconds: float = 3_600.0
    runs: int = 24

    def __post_init__(self) -> None:
        require(self.every_seconds >= 60, "every: expected at least 60 s")
        require(self.runs >= 1, "runs: expected at least 1")


@dataclass(frozen=True)
class Condition:
    """Exactly one of: a cron line (UTC), an interval since the serving version or the last firing,
    a state of the model, a rare ``day`` that is open, a person (``manual``), somebody else's system
    (``webhook``), or several conditions of which ``all`` or ``any`` must hold.
    """

    cron: str | None = None
    every_seconds: float | None = None
    performance: PerformanceRule | None = None
    volume: VolumeRule | None = None
    drift: DriftRule | None = None
    day: DayRule | None = None
    manual: Literal[True] | None = None
    webhook: Literal[True] | None = None
    all: tuple[Condition, ...] | None = None
    any: tuple[Condition, ...] | None = None

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]
        present = [name for name in names if getattr(self, name) is not None]
        require(len(present) == 1, f"expected exactly one of {sorted(names)}, got {present}")
        for several in (self.all, self.any):
            require(several is None or len(several) >= 2, f"{present[0]}: expected two or more")
            alone = all(part.manual is None for part in several or ())
            require(alone, "manual: expected alone; a person fires any rule by hand anyway")
        require(self.every_seconds is None or self.every_seconds > 0, "every: expected more than 0")
        if self.cron is not None:
            check_cron(self.cron)

    @property
    def kind(self) -> str:
        """The name of the condition, as it is written in a policy."""
        present = next(f.name for f in fields(self) if getattr(self, f.name) is not None)
        return present.removesuffix("_seconds")

    def leaves(self) -> Iterator[Condition]:
        """Yield the conditions that it is made of, itself if it is simple."""
        several = self.all or self.any
        if several is None:
            yield self
        else:
            for inner in several:
                yield from inner.leaves()

    def lasts(self) -> bool:
        """Return whether it is a state that lasts; such a rule is latched, or it would refire."""
        return any(getattr(leaf, name) for leaf in self.leaves() for name in STATES)


def check_cron(line: str) -> None:
    """Raise ContractError unless ``line`` is a cron line that comes up at some time."""
    from cronsim import CronSim, CronSimError

    # Some lines parse and never come up, such as 30 February: look for the first time.
    try:
        next(CronSim(line, datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)))
    except (CronSimError, StopIteration) as error:
        message = f"cron: expected minute hour day month weekday, got {line!r}; {error}"
        raise ContractError(message.strip("; ")) from error
