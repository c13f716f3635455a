"""Tells whether a training continues its parent: new features cannot, nor a new architecture.

Pure.
"""

from __future__ import annotations

from typing import Any, Final

from cloud_hub.runs.context import Mode

WEIGHTS: Final = ("coef_", "coefs_", "components_", "theta_")
"""Fitted attributes whose shapes are a model's architecture; trees and neighbours may grow."""


def mode_before(wanted: Mode, columns: int, width: int | None) -> tuple[Mode, str]:
    """Return the mode of a training, and why it is not the one that was ``wanted``.

    Args:
        wanted: by the rule, the person or the policy.
        columns: number of columns that the serving version takes.
        width: number of columns of the dataset ``train``, if there is one.
    """
    if wanted == "stateful" and width is not None and width != columns:
        return "stateless", f"new features: dataset train has {width} columns, not {columns}"
    return wanted, ""


def mode_after(mode: Mode, parent: Any, trained: Any, columns: int) -> tuple[Mode, str]:
    """Return the mode of a finished training: a stateful one that changed too much began anew.

    Args:
        mode: of the job.
        parent: estimator that it continued, ``None`` if there is none.
        trained: the new estimator, or the path of a file.
        columns: number of columns that the parent's version takes.

    Returns:
        The mode, and why it is another one.
    """
    if mode == "stateless":
        return mode, ""
    width = getattr(trained, "n_features_in_", None)
    if width is not None and width != columns:
        return "stateless", f"new features: takes {width} columns, its parent takes {columns}"
    before, after = skeleton(parent), skeleton(trained)
    if parent is not None and hasattr(trained, "predict") and before != after:
        return "stateless", f"new architecture: {_first_difference(before, after)}"
    return mode, ""


def skeleton(estimator: Any) -> dict[str, str]:
    """Return what training does not change: classes of an estimator's parts, shapes of weights.

    The keys are paths such as ``classifier.coef_``.
    """
    parts: dict[str, str] = {}
    _describe("", estimator, parts)
    return parts


def _describe(path: str, estimator: Any, parts: dict[str, str]) -> None:
    parts[path or "model"] = type(estimator).__name__
    for name in WEIGHTS:
        value = getattr(estimator, name, None)
        # A network has a list of weights, one a layer; a linear model has one array.
        arrays: list[Any] = value if isinstance(value, list) else [value]
        shapes = [str(array.shape) for array in arrays if hasattr(array, "shape")]
        if shapes:
            parts[f"{path}.{name}".lstrip(".")] = " ".join(shapes)
    for name, step in getattr(estimator, "steps", []):
        _describe(f"{path}.{name}".lstrip("."), step, parts)


def _first_difference(before: dict[str, str], after: dict[str, str]) -> str:
    name = next(n for n in (*before, *after) if before.get(n) != after.get(n))
    return f"{name} was {before.get(name, 'not there')}, is {after.get(name, 'not there')}"
