"""The framework of a trained module: one line for each that modules are exported from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
from converters.frameworks.exported_module import ExportedModule
from converters.frameworks.keras_model import export_keras, is_keras, load_keras
from converters.frameworks.torch_module import export_torch, is_torch, load_program

FILES: Final = {".pt2": load_program, ".keras": load_keras}
"""Readers of module files, by suffix."""

UNREAD: Final = (".pt", ".pth", ".h5", ".safetensors", ".ckpt")
"""Files of weights, which say nothing about the network that they belong to."""


def load_module(path: Path, *, trust: bool) -> Any:
    """Return the module of a file whose suffix is one of :data:`FILES`.

    Raises:
        ConversionError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    return FILES[path.suffix](path, trust=trust)


def export_module(model: Any, X: Any, *, batched: bool) -> ExportedModule | None:
    """Return a trained module as an ONNX file; ``None`` if ``model`` is no module.

    Args:
        model: what the caller gave.
        X: samples, as :func:`converters.convert` takes them.
        batched: whether axis 0 of every input is the rows.

    Raises:
        ConversionError: the module or the samples cannot be used.
        UnsupportedModel: the module cannot be exported; the message names the operator.
    """
    # Keras on PyTorch makes modules of PyTorch too.
    if is_keras(model):
        return export_keras(model, X, batched=batched)
    if is_torch(model):
        return export_torch(model, X, batched=batched)
    return None
