"""A model as MLflow saves it: a folder with a file ``MLmodel`` that lists its flavours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError

MLMODEL: Final = "MLmodel"
LIMIT: Final = 4 << 20
FLAVOURS: Final = ("onnx", "sklearn", "pytorch")
"""Flavours that can be converted, the most exact first."""


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return a YAML file of MLflow; raises ConversionError."""
    import yaml

    try:
        with path.open("rb") as file:
            plain = yaml.safe_load(file.read(LIMIT))
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read; {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected YAML of MLflow; {error!s:.200}") from error
    if not isinstance(plain, dict):
        raise ConversionError(f"{path}: expected YAML of MLflow with names, got other content")
    return plain


def within(folder: Path, *names: Any) -> Path:
    """Return a path within a folder.

    Args:
        folder: that it must be in.
        *names: as a file of the tool says, so they may be anything.

    Raises:
        ConversionError: they lead out of the folder.
    """
    path = folder.joinpath(*(str(name) for name in names))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConversionError(f"{folder}: names the file {path.name!r:.80} outside of itself")
    return path


def model_of(folder: Path, *, trust: bool) -> tuple[Any, dict[str, str]]:
    """Return the model of a folder as ``convert`` takes it, and texts about it.

    Args:
        folder: with a file ``MLmodel``.
        trust: loading a pickle runs code that it contains, and that is wanted.

    Raises:
        ConversionError: it has no flavour that can be converted, or is not trusted.
    """
    about = read_yaml(folder / MLMODEL)
    flavours = about.get("flavors") or {}
    found = next((name for name in FLAVOURS if name in flavours), None)
    if found is None:
        raise ConversionError(
            f"{folder}: expected a flavour among {', '.join(FLAVOURS)}, got "
            f"{', '.join(map(str, flavours)) or 'none'}; log the model once more in one of them"
        )
    told = flavours[found] if isinstance(flavours[found], dict) else {}
    words = {"mlflow.flavour": found}
    for name in ("sklearn_version", "onnx_version", "pytorch_version"):
        if name in told:
            words[f"mlflow.{name}"] = str(told[name])
    return READERS[found](folder, told, trust), words


def _onnx(folder: Path, told: Mapping[str, Any], trust: bool) -> Any:
    return within(folder, told.get("data", "model.onnx"))


def _sklearn(folder: Path, told: Mapping[str, Any], trust: bool) -> Any:
    # Cloudpickle's files are pickles; skops' have a suffix of their own.
    return within(folder, told.get("pickled_model", "model.pkl"))


def _pytorch(folder: Path, told: Mapping[str, Any], trust: bool) -> Any:
    data = within(folder, told.get("model_data", "data"))
    exported = sorted(data.glob("*.pt2"))
    if exported:
        return exported[0]
    path = data / "model.pth"
    if not path.is_file():
        raise ConversionError(f"{data}: expected a model.pth or a .pt2 of MLflow's pytorch flavour")
    if not trust:
        raise ConversionError(
            f"{path}: loading a pickled module runs code inside it; if you trust its source, say "
            "trust=True (--trust)"
        )
    try:
        import torch
    except ImportError as error:
        raise ConversionError(f"{path}: reading this needs PyTorch; pip install torch") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # the file's own code may raise anything
        raise ConversionError(f"{path}: cannot be loaded; {error!r:.300}") from error


READERS: Final = {"onnx": _onnx, "sklearn": _sklearn, "pytorch": _pytorch}
