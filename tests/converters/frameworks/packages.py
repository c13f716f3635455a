"""Packages of ready-made networks, imported so that they work beside a CPU build of PyTorch."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest


def transformers() -> Any:
    """Return transformers; the test is skipped without it."""
    _make_torchvision_loadable()
    return pytest.importorskip("transformers", reason="needs transformers")


def timm() -> Any:
    """Return timm; the test is skipped without it."""
    _make_torchvision_loadable()
    return pytest.importorskip("timm", reason="needs timm, and torchvision")


def _make_torchvision_loadable() -> None:
    """Declare two operators of detectors, without which torchvision cannot be imported.

    Its wheel is linked to CUDA; beside a PyTorch for CPUs its library does not load, and the import
    fails at what it says about them. Nothing here calls them.
    """
    torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")
    if _KEPT or importlib.util.find_spec("torchvision") is None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


_KEPT: list[Any] = []
"""The declarations, which go with their object."""
