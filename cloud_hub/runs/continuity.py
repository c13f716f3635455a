"""Does a training continue its parent? New features or a new architecture cannot. Pure."""

from __future__ import annotations

from typing import Any, Final

from cloud_hub.runs.context import Mode

WEIGHTS: Final = ("coef_", "coefs_", "components_", "theta_")
"""Fitted attributes whose shapes are a model's architecture; trees and neighbours may grow."""


def mode_before(wanted: Mode, columns: int, kept: int | None) -> tuple[Mode, str]:
    """The mode of a training, and why it is not the one that was ``wanted``.

    Args:
        wanted: by the rule, the person or the policy.
        columns: that the serving version takes.
        kept: columns of the dataset ``train``, if there is one.
    """
    if wanted == "stateful" and kept is not None and kept != columns:
        return "stateless", f"new features: dataset train has {kept} columns, not {columns}"
    return wanted, ""


def mode_after(mode: Mode, parent: Any, trained: Any, columns: int) -> tuple[Mode, str]:
    """The mode of a finished training: a stateful one that changed too much began anew.

    Args:
        mode: that it was asked for.
        parent: estimator that it continued, ``None`` if that is not known.
        trained: estimator that came out, or the path of a file.
        columns: that the parent's version takes.
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
    """What training does not change of an estimator: classes of its parts, shapes of weights."""
    found: dict[str, str] = {}
    _describe("", estimator, found)
    return found


def _describe(path: str, estimator: Any, found: dict[str, str]) -> None:
    found[path or "model"] = type(estimator).__name__
    for name in WEIGHTS:
        value = getattr(estimator, name, None)
        parts: list[Any] = value if isinstance(value, list) else [value]
        shapes = [str(part.shape) for part in parts if hasattr(part, "shape")]
        if shapes:
            found[f"{path}.{name}".lstrip(".")] = " ".join(shapes)
    for name, step in getattr(estimator, "steps", []):
        _describe(f"{path}.{name}".lstrip("."), step, found)


def _first_difference(before: dict[str, str], after: dict[str, str]) -> str:
    name = next(n for n in (*before, *after) if before.get(n) != after.get(n))
    return f"{name} was {before.get(name, 'not there')}, is {after.get(name, 'not there')}"
