"""Modules of PyTorch that cannot be exported as they are, and what to give instead."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import ConversionError, UnsupportedModel
from edge_sdk.contract.limits import MODEL_BYTES


def refuse_other_forms(module: Any) -> None:
    """Refuse a module that was compiled to TorchScript, or quantized.

    Raises:
        UnsupportedModel: it is such a module, or one is inside of it.
    """
    for path, part in module.named_modules():
        kinds = [f"{base.__module__}.{base.__qualname__}" for base in type(part).__mro__]
        where = f" (its layer {path})" if path else ""
        if any(kind.startswith("torch.jit.") for kind in kinds):
            raise UnsupportedModel(
                f"model: a TorchScript module cannot be exported{where}; give the module that it "
                "was made from, or a program of torch.export (.pt2)"
            )
        if any(kind.startswith("torch.ao.nn.quantized") for kind in kinds):
            raise UnsupportedModel(
                f"model: a module that PyTorch quantized cannot be exported{where}; give it in "
                "float32: convert tries int8 itself"
            )


def check_tensors(module: Any, kind: str) -> tuple[str, float]:
    """Return the dtype that a module takes, and the size of a rounding in it.

    Raises:
        ConversionError: it is on an accelerator, without values, of a dtype that does not travel,
            or larger than a file may be.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if any("Uninitialized" in type(tensor).__name__ for tensor in tensors):
        raise ConversionError(
            f"model: {kind} has layers without weights yet (LazyModule); call it once on a row"
        )
    devices = sorted({str(tensor.device) for tensor in tensors} - {"cpu"})
    if devices:
        raise ConversionError(
            f"model: {kind} is on {', '.join(devices)}; expected it on the CPU: call .cpu()"
        )
    if any(str(tensor.dtype) == "torch.bfloat16" for tensor in tensors):
        raise ConversionError(
            f"model: {kind} is in bfloat16, which few devices compute in; call .float()"
        )
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size >= MODEL_BYTES:
        raise ConversionError(
            f"model: {kind} has {size / 2**30:.1f} GiB of weights, and a file holds at most "
            f"{MODEL_BYTES / 2**30:.0f} GiB; convert a smaller one, or one in float16"
        )
    floats = [str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()]
    coarsest = max((float(np.finfo(dtype).eps) for dtype in floats), default=2.0**-23)
    return (floats[0] if floats else "float32"), coarsest
