"""The framework of a trained module: one line for each that modules are exported from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
from converters.frameworks.exported_module import ExportedModule
from converters.frameworks.keras_model import export_keras, is_keras, load_keras
from converters.frameworks.torch_module import export_torch, is_torch, load_program

FILES: Final = {".pt2": load_program, ".keras": load_keras}
"""Readers of module files, by suffix."""

_TORCH: Final = ("torch", "onnxscript")
"""Packages that export a module of PyTorch."""

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
        exported = export_keras(model, X, batched=batched)
    elif is_torch(model):
        exported = export_torch(model, X, batched=batched)
    else:
        return None
    own = ["keras"] if is_keras(model) else []
    own.append(type(model).__module__.partition(".")[0])  # transformers or timm, say
    return replace(exported, packages=tuple(dict.fromkeys([*_TORCH, *own])))
