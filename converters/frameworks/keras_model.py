"""Keras 3 models, which run on PyTorch here: called as modules of it, exported as they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.frameworks.exported_module import ExportedModule
from converters.frameworks.torch_module import TorchCall, export_call


def is_keras(model: Any) -> bool:
    """Return whether ``model`` is a model or layer of Keras 3, without loading it."""
    bases = [f"{base.__module__}.{base.__qualname__}" for base in type(model).__mro__]
    return "keras.src.layers.layer.Layer" in bases


def load_keras(path: Path, *, trust: bool) -> Any:
    """Return the model of a ``.keras`` file.

    Args:
        path: of the file.
        trust: allow Python code (lambdas) that is in it.

    Raises:
        ConversionError: not such a file, or code in it that is not trusted.
    """
    keras = _keras()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:  # archives, JSON, layers of the user's own
        advice = "" if trust else "; if you trust its source, say trust=True (--trust)"
        raise ConversionError(
            f"{path}: expected a model that Keras 3 saved; {error!s:.300}{advice}"
        ) from error


def export_keras(model: Any, X: Any, *, batched: bool = True) -> ExportedModule:
    """Export a model with the samples that its file is checked on.

    Args:
        model: of Keras 3, on PyTorch.
        X: samples, as :func:`converters.frameworks.module_samples.samples_of` takes them.
        batched: whether axis 0 of every input is the rows; it stays open then.

    Raises:
        ConversionError: Keras runs on another backend, or the model does not take the samples.
        UnsupportedModel: what the exporter cannot export, with the operator and the line.
    """
    keras = _keras()
    names, structure = _inputs(model)

    def call(module: Any, tensors: Sequence[Any]) -> Any:
        packed = keras.tree.pack_sequence_as(structure, list(tensors))
        return module(packed, training=False)

    kind = type(model).__name__
    return export_call(TorchCall(model, names, kind, packed=call), X, batched=batched)


def _keras() -> Any:
    """Return Keras, on PyTorch.

    Raises:
        ConversionError: it was loaded on another backend.
    """
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    backend = keras.backend.backend()
    if backend != "torch":
        raise ConversionError(
            f"model: Keras runs on {backend} here, and models are exported from PyTorch; set "
            "KERAS_BACKEND=torch before Keras is imported. A .keras file is the same for both"
        )
    return keras


def _inputs(model: Any) -> tuple[tuple[str, ...], Any]:
    """Return the names of a model's inputs, and the structure that it takes them in."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        tensors = getattr(model, "inputs", None) or []
        structure = tensors[0] if len(tensors) == 1 else tensors or 0
    import keras

    leaves = keras.tree.flatten(structure)
    names = [str(getattr(leaf, "name", "x")) for leaf in leaves]
    # Keras names what nobody named by a running number, which differs from run to run.
    return tuple(
        name if not name.startswith("keras_tensor") else "x" if len(names) == 1 else f"x{i}"
        for i, name in enumerate(names)
    ), structure
