"""What figures are called on pages: a label, the unit that they are written in, and a hint.

One table for all pages: trainings, certificates, steps of runs, signals of monitoring and evidence
of triggers name their figures as code does, and people read what this module makes of it. A name
that is not here is told by its own words. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from cloud_hub.web.numbers import NOTHING, byte_text, number_text, p_text, share_text, span_text

Unit = Literal["", "share", "s", "us", "B", "MB", "p", "cores"]
"""``share``: between 0 and 1, written as percent. ``p``: a p-value. ``cores``: core-seconds."""


class FigureWords(NamedTuple):
    """What a figure is called, its unit, and what it is and when it is good, in a sentence.

    ``good`` says whether more of it is better, or less; empty where neither is.
    """

    label: str
    unit: Unit = ""
    hint: str = ""
    good: Literal["", "more", "less"] = ""


class ShownFigure(NamedTuple):
    """A figure as a page shows it; ``hint`` is empty where the label says it all."""

    label: str
    text: str
    hint: str = ""


UNITS: Final[Mapping[Unit, Callable[[float], str]]] = {
    "": number_text,
    "share": share_text,
    "s": span_text,
    "us": lambda value: span_text(value / 1e6),
    "B": byte_text,
    "MB": lambda value: byte_text(value * 1e6),
    "p": p_text,
    "cores": lambda value: f"{number_text(value)} core-s",
}

WORDS: Final[Mapping[str, FigureWords]] = {
    # How well a model answers.
    "accuracy": FigureWords("accuracy", "share",
        "Share of rows that were answered right; higher is better.",
        good="more",
    ),
    "accuracy_bound": FigureWords("accuracy at least", "share",
        "The accuracy is surely not below this; higher is better.",
        good="more",
    ),
    "score": FigureWords("score", "",
        "On the check rows: accuracy for classes, R² for numbers; higher is better, 1 is perfect.",
        good="more",
    ),
    "score_bound": FigureWords("score at least", "",
        "The score is surely not below this; the more check rows, the closer it is to the score.",
        good="more",
    ),
    "label_flips": FigureWords("labels that differ", "share",
        "Share of check rows on which the file answers another class than the trained model; 0% "
        "is best.",
        good="less",
    ),
    "flips_bound": FigureWords("labels that differ, at most", "share",
        "Surely no larger share of rows gets another class; the more check rows, the lower.",
        good="less",
    ),
    "max_difference": FigureWords("largest difference", "",
        "Largest difference of an output from the trained model's; near 0 is best.",
        good="less",
    ),
    "f1": FigureWords("F1", "",
        "Harmonic mean of precision and recall; higher is better.",
        good="more",
    ),
    "precision": FigureWords("precision", "share",
        "Share right of what was answered with a class; higher is better.",
        good="more",
    ),
    "recall": FigureWords("recall", "share",
        "Share of a class that was found; higher is better.",
        good="more",
    ),
    "auc": FigureWords("area under ROC", "", "0.5 is chance, 1 is perfect.", good="more"),
    "roc_auc": FigureWords("area under ROC", "", "0.5 is chance, 1 is perfect.", good="more"),
    "mae": FigureWords("mean absolute error", "",
        "In the unit of the target; lower is better.",
        good="less",
    ),
    "rmse": FigureWords("root mean squared error", "",
        "In the unit of the target; lower is better.",
        good="less",
    ),
    "r2": FigureWords("R²", "", "1 is perfect, 0 is no better than the mean.", good="more"),
    "log_loss": FigureWords("log loss", "", "Of the probabilities; lower is better.", good="less"),
    "brier": FigureWords("Brier score", "",
        "Mean squared error of the probabilities; lower is better.",
        good="less",
    ),
    # What a step of a run took and found.
    "seconds": FigureWords("took", "s"),
    "cpu_seconds": FigureWords("processor", "s"),
    "peak_mb": FigureWords("memory", "MB", "Most that the step itself needed."),
    "worker_peak_mb": FigureWords("memory of its process", "MB"),
    "golden_rows": FigureWords("golden rows", "",
        "Rows whose answers each device checks before a release serves.",
    ),
    "probe_p99_us": FigureWords("99% of rows within", "us",
        "Time of one row, measured on the hub's machine.",
    ),
    "row_us": FigureWords("time of a row", "us", good="less"),
    "bytes": FigureWords("size", "B", good="less"),
    "refused": FigureWords("refused"),
    "findings": FigureWords("findings"),
    # How a training is set up.
    "entry": FigureWords("function"),
    "minimum_samples": FigureWords("rows to wait for"),
    "wait_seconds": FigureWords("waits at most", "s"),
    "timeout_seconds": FigureWords("may take", "s"),
    "memory_mb": FigureWords("may use", "MB"),
    "path": FigureWords("folder of the code"),
    "enabled": FigureWords("data is checked"),
    "told": FigureWords("only told"),
    "max_missing": FigureWords("missing values at most", "share"),
    "max_missing_rise": FigureWords("missing more than before, at most", "share"),
    "max_out_of_range": FigureWords("values out of range at most", "share"),
    "max_duplicate_rows": FigureWords("rows that repeat at most", "share"),
    "max_duplicate_rise": FigureWords("repeating more than before, at most", "share"),
    "min_class_share": FigureWords("each class at least", "share"),
    "max_label_shift": FigureWords("rows that changed class at most", "share"),
    "max_label_agreement": FigureWords("a column equals the label at most", "share"),
    "max_holdout_overlap": FigureWords("holdout rows among them at most", "share"),
    "max_drift": FigureWords("PSI against before at most"),
    "max_device_share": FigureWords("rows of one device at most", "share"),
    "max_fleet_distance": FigureWords("PSI against the fleet at most"),
    "max_new_categories": FigureWords("new categories at most", "share"),
    "max_time_gap": FigureWords("time without a row at most", "share"),
    # Evidence of monitoring.
    "n": FigureWords("rows"),
    "p": FigureWords("p", "p",
        "How often chance alone would look like this; small means that it is hardly chance.",
    ),
    "effect": FigureWords("effect", "", "How far it is from what is usual; the largest first."),
    "ks": FigureWords("KS", "",
        "Kolmogorov-Smirnov: the largest gap between the distributions of training and of now, "
        "from 0 to 1; below 0.1 is small.",
    ),
    "psi": FigureWords("PSI", "",
        "Population stability index: below 0.1 is stable, above 0.25 has moved much.",
    ),
    "js": FigureWords("JS", "",
        "Jensen-Shannon divergence in bits: 0 is the same distribution, 1 has nothing in common.",
    ),
    "rate": FigureWords("share now", "share"),
    "rate_at_training": FigureWords("at training", "share"),
    "low": FigureWords("from"),
    "high": FigureWords("to"),
    "coverage": FigureWords("rows with a label", "share", "The more, the surer the accuracy."),
    "labelled": FigureWords("labels"),
    "base_rate": FigureWords("usual share of errors", "share"),
    "base_mae": FigureWords("usual mean error", "", "In the unit of the target."),
    "share": FigureWords("share", "share"),
    "evidence": FigureWords("evidence", "",
        "That errors grew: it alarms from the figure beside it on.",
    ),
    "alarm_from": FigureWords("alarms from"),
    "devices.of": FigureWords("of", "", "Devices that reported enough to be compared."),
    "estimate.accuracy": FigureWords("estimated accuracy", "share",
        "From the model's confidence: it moves with the inputs, and does not see that what is "
        "right has changed.",
    ),
    "estimate.low": FigureWords("from", "share"),
    "estimate.high": FigureWords("to", "share"),
    "estimate.reference": FigureWords("on held-out rows", "share"),
    "concept.measured": FigureWords("errors measured"),
    "concept.mae": FigureWords("mean error", "", "In the unit of the target; lower is better."),
    "refused.refused": FigureWords("refused on"),
    "refused.tried": FigureWords("devices that tried it, of"),
    "outlier.score": FigureWords("score", "", "About 1 where outputs are as on held-out rows."),
    "domain.score": FigureWords("score", "", "About 1 where outputs are as on held-out rows."),
    "selection.low": FigureWords("difference from", "share"),
    "selection.high": FigureWords("to", "share"),
    "explained_share": FigureWords("explained", "share"),
    "alarmed_at": FigureWords("label that raised it"),
    "risen_since": FigureWords("grew since label"),
    "changed_by": FigureWords("changed by"),
    "fairness.best": FigureWords("best"),
    "fairness.worst": FigureWords("worst"),
    "fairness.low": FigureWords("difference from", "share"),
    "fairness.high": FigureWords("to", "share"),
    # Evidence of triggers.
    "alarms": FigureWords("open alarms"),
    "needed": FigureWords("needed"),
    "worst": FigureWords("strongest"),
    "evidence_seconds": FigureWords("evidence", "s",
        "Without a fall of accuracy it is reached once in this time; it fires from the time "
        "beside it on.",
    ),
    "fires_at_seconds": FigureWords("fires from", "s",
        "Mean time to a false alarm that the rule allows.",
    ),
    "below": FigureWords("limit", "share", "The rule watches for an accuracy surely below it."),
    "minimum": FigureWords("labels needed"),
    "every_seconds": FigureWords("every", "s"),
    "cron": FigureWords("cron line", "", "In UTC."),
    "due": FigureWords("due"),
    "at": FigureWords("at"),
    "said": FigureWords("it said"),
    "new_rows": FigureWords("new labelled rows"),
    "training_rows": FigureWords("rows of the training"),
    "mae_above": FigureWords("limit", "",
        "Mean error from which on the rule fires, in the unit of the target.",
    ),
    "largest_error": FigureWords("one error counts at most"),
    "fires_from": FigureWords("fires from"),
}  # fmt: skip
"""By the name that code has for it."""

CHECKS: Final[Mapping[str, str]] = {
    "schema": "Columns and their types",
    "missing": "Missing values",
    "range": "Values out of range",
    "duplicate_rows": "Rows that repeat",
    "duplicate_features": "Columns that repeat",
    "label_balance": "Balance of classes",
    "label_leak": "Columns that give the label away",
    "holdout_overlap": "Rows that are in the holdout, too",
    "drift": "Drift since the version before",
    "device_share": "Share of a single device",
    "fleet": "Distance to what the fleet sees",
    "new_categories": "New categories",
    "time_gap": "Gaps in time",
    "fresh": "On fresh rows",
    "history": "On rows of before",
    "holdout": "On the holdout",
    "calibration": "Calibration of probabilities",
}
"""Checks of data and of the offline gate, by name."""

SIGNALS: Final[Mapping[str, str]] = {
    "drift": "Drift of {}",
    "domain": "{} outside of what training saw",
    "devices": "Devices whose {} differs",
    "outlier": "Outliers of {}",
    "estimate": "Estimated {}",
    "concept": "Growing {}",
    "fairness": "Unlike accuracy by {}",
    "selection": "Unlike answers by {}",
    "skew": "Training and device differ in {}",
    "refused": "Release {} refused by devices",
}
"""Signals of monitoring, by kind; the rest of a signal's name is put in."""

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?(?:\+00:00|Z)")


def words_of(name: str, of: str = "") -> FigureWords:
    """Return what a figure is called.

    Args:
        name: as code has it; of a dotted one the last part counts.
        of: kind of what it is a figure of, where that has words of its own.
    """
    last = name.rpartition(".")[2]
    found = WORDS.get(f"{of}.{name}") or WORDS.get(name) or WORDS.get(last)
    return found or FigureWords(plain_name(last))


def figure(name: str, value: Any, of: str = "") -> ShownFigure:
    """Return a figure in words.

    Args:
        name: as code has it.
        value: plain JSON.
        of: kind of what it is a figure of, where that has words of its own.
    """
    words = words_of(name, of)
    return ShownFigure(words.label, value_text(value, words.unit), words.hint)


def value_text(value: Any, unit: Unit = "") -> str:
    """Return a value as people read it: numbers with their unit, times without a T."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return UNITS[unit](value)
    return _TIME.sub(r"\1 \2 UTC", str(value))


def change_text(change: float | None, unit: Unit = "") -> str:
    """Return a difference with its sign; of two shares in percentage points."""
    if change is None:
        return NOTHING
    change = round(change, 12) + 0.0
    sign = "+" if change > 0 else "-" if change < 0 else ""
    if unit == "share":
        return f"{sign}{100 * abs(change):.3g} pp"
    return f"{sign}{value_text(abs(change), unit)}"


def check_name(name: str) -> str:
    """Return what a check is called; one with a part, such as ``group:x``, keeps that."""
    kind, colon, rest = name.partition(":")
    words = CHECKS.get(kind) or plain_name(kind).capitalize()
    return f"{words}: {rest}" if colon else words


def signal_name(signal: str) -> str:
    """Return what a signal of monitoring is about, in words: ``drift:age`` is "Drift of age"."""
    kind, _, rest = signal.partition(":")
    if kind not in SIGNALS or not rest:
        return signal
    about = rest.removesuffix(":outside") if kind == "domain" else rest
    if (kind, about) == ("domain", "low confidence"):
        return "Answers with low confidence"
    if (kind, about) == ("concept", "mae"):
        return "Growing mean error"
    return SIGNALS[kind].format(about.replace(":", ", "))


def plain_name(name: str) -> str:
    """Return a name as words."""
    return name.replace("_", " ").replace(".", " ")
