"""PyTorch modules and exported programs (``.pt2``): exported with the current exporter.

Invariants:

* The module is left as it came: training mode, gradients and its place are not changed for good.
* Axis 0 of every input stays open, and so do axes in which the samples differ; the other axes have
  the sizes of the samples.
* Weights are inside the file.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters.errors import ConversionError, UnsupportedModel
from converters.frameworks.exported_module import ExportedModule, in_blocks
from converters.frameworks.module_samples import largest_of, open_axes, samples_of
from converters.frameworks.torch_checks import check_tensors, refuse_other_forms
from converters.frameworks.torch_errors import onnx_problem, trace_problem
from converters.frameworks.torch_outputs import as_feed, named_outputs, row_axes
from edge_sdk.model.release import Feed

OPSET: Final = 18
"""What the exporter's functions are written for; every onnxruntime that we support has it."""

TRACED_ROWS: Final = 3
"""Rows that a module is traced with: sizes of 0 and 1 would be taken for constants."""

BLOCK: Final = 32
"""Rows that a module answers at a time."""

_NAMED: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)
"""Kinds of parameters that inputs are: the others take any number of arguments."""

_LOGGERS: Final = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


def is_torch(model: Any) -> bool:
    """Return whether ``model`` is a module or exported program of PyTorch, without loading it."""
    return any(
        f"{base.__module__}.{base.__qualname__}"
        in ("torch.nn.modules.module.Module", "torch.export.exported_program.ExportedProgram")
        for base in type(model).__mro__
    )


@dataclass(frozen=True)
class TorchCall:
    """How a module is called with tensors in the order of its inputs.

    Attributes:
        module: the module, or the exported program.
        names: names of its inputs.
        kind: name of its class.
        by_name: whether inputs are passed as keywords.
        packed: structure that all inputs are passed in, as one argument; ``None`` for none.
    """

    module: Any
    names: tuple[str, ...]
    kind: str
    by_name: bool = False
    packed: Any = None

    def __call__(self, tensors: Sequence[Any]) -> Any:
        """Return the module's outputs as it gives them."""
        if self.packed is not None:
            return self.packed(self.module, tensors)
        if self.by_name:
            return self.module(**dict(zip(self.names, tensors, strict=True)))
        return self.module(*tensors)


def load_program(path: Path, *, trust: bool) -> Any:
    """Return the exported program of a ``.pt2`` file.

    Args:
        path: of the file, as ``torch.export.save`` writes it.
        trust: allow objects besides tensors in it, whose loading may run code.

    Raises:
        ConversionError: not such a file, or objects in it that are not trusted.
    """
    import torch

    force = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(force)
    if not trust:
        # Where a file holds more than tensors, PyTorch would load it by pickle otherwise.
        os.environ[force] = "1"
    try:
        with _quiet():
            return torch.export.load(path)
    except Exception as error:  # archives, JSON and pickles each have errors of their own
        advice = "" if trust else "; if you trust its source, say trust=True (--trust)"
        raise ConversionError(
            f"{path}: expected a program that torch.export.save wrote; {error!s:.300}{advice}"
        ) from error
    finally:
        os.environ.pop(force, None)
        if before is not None:
            os.environ[force] = before


def export_torch(model: Any, X: Any, *, batched: bool = True) -> ExportedModule:
    """Export a module with the samples that its file is checked on.

    Args:
        model: a ``torch.nn.Module`` or ``torch.export.ExportedProgram``.
        X: samples, as :func:`converters.frameworks.module_samples.samples_of` takes them.
        batched: whether axis 0 of every input is the rows; it stays open then.

    Raises:
        ConversionError: samples that the module does not take, or a module that cannot be used.
        UnsupportedModel: what the exporter cannot export, with the operator and the line.
    """
    if type(model).__name__ == "ExportedProgram":
        names = tuple(model.graph_signature.user_inputs)
        call = TorchCall(model.module(), names, "ExportedProgram", packed=_call_program(model))
        return _export(call, X, batched=batched, program=model)
    return export_call(_call_of(model, X), X, batched=batched)


def export_call(call: TorchCall, X: Any, *, batched: bool) -> ExportedModule:
    """Export whatever is called with tensors: see :func:`export_torch`."""
    return _export(call, X, batched=batched, program=None)


def _export(call: TorchCall, X: Any, *, batched: bool, program: Any) -> ExportedModule:
    floats, resolution = check_tensors(call.module, call.kind)
    samples = samples_of(X, call.names, floats, batched=batched)
    fixed = None if program is None else _fixed_rows(program)
    with _evaluating(call.module), _quiet():
        first = largest_of(samples)
        if batched:
            first = _first_rows(first, fixed or TRACED_ROWS)
        outputs = _sample_outputs(call, first)
        axes = row_axes(outputs, fixed or TRACED_ROWS, call.kind) if batched else {}
        if program is None:
            program = _traced(call, first, open_axes(samples, batched=batched))
        proto = _translated(program, call.kind, list(first), list(outputs))

    def answers(feed: Feed) -> Feed:
        with _evaluating(call.module), _quiet():
            run = functools.partial(_answers, call)
            return in_blocks(run, feed, block, filled=bool(fixed), axes=axes)

    block = (fixed or BLOCK) if batched else None
    return ExportedModule(call.kind, proto, answers, samples, resolution, batched, fixed)


def _call_of(model: Any, X: Any) -> TorchCall:
    """Return how a module is called with ``X``: by name where ``X`` has names."""
    kind = type(model).__name__
    if isinstance(model, type):
        raise ConversionError(f"model: expected a module, got the class {model.__name__}")
    refuse_other_forms(model)
    given = _names_given(X)
    named = [p for p in inspect.signature(model.forward).parameters.values() if p.kind in _NAMED]
    by_keyword = any(p.kind is p.KEYWORD_ONLY for p in named)
    if given:
        known = tuple(p.name for p in named if p.name in given)
        names = known if len(known) == len(given) else tuple(p.name for p in named) or given
        return TorchCall(model, names, kind, by_name=bool(named))
    needed = tuple(p.name for p in named if p.default is p.empty)
    names = needed or tuple(p.name for p in named[:1]) or ("x",)
    return TorchCall(model, names, kind, by_name=by_keyword)


def _names_given(X: Any) -> tuple[str, ...]:
    if isinstance(X, list | tuple) and X:
        X = X[0]
    return tuple(map(str, X)) if isinstance(X, Mapping) else ()


def _call_program(program: Any) -> Any:
    """Return a call of a program's module with its inputs in the order of its signature."""

    def call(module: Any, tensors: Sequence[Any]) -> Any:
        from torch.utils import _pytree

        args, kwargs = _pytree.tree_unflatten(list(tensors), program.call_spec.in_spec)
        return module(*args, **kwargs)

    return call


def _first_rows(samples: Feed, count: int) -> Feed:
    """Return the first rows, repeated where there are fewer."""
    return {name: array[np.arange(count) % len(array)] for name, array in samples.items()}


def _tensors(samples: Feed) -> list[Any]:
    import torch

    return [torch.from_numpy(np.array(array, order="C")) for array in samples.values()]


def _sample_outputs(call: TorchCall, samples: Feed) -> Feed:
    """Return the module's outputs to a few rows.

    Raises:
        ConversionError: it refuses them, or answers differently each time.
    """
    once, again = (_answers(call, samples) for _ in range(2))
    for name, array in once.items():
        if not np.array_equal(array, again[name], equal_nan=array.dtype.kind == "f"):
            raise ConversionError(
                f"model: {call.kind} gives another {name!r} each time for the same rows: chance "
                "has a part in it outside of training"
            )
    return once


def _answers(call: TorchCall, feed: Feed) -> Feed:
    import torch

    feed = {name: feed[name] for name in call.names if name in feed}
    try:
        with torch.no_grad():
            return as_feed(named_outputs(call(_tensors(feed)), taken=call.names))
    except ConversionError:
        raise
    except Exception as error:  # the module's own code may raise anything
        shapes = {name: array.shape for name, array in feed.items()}
        raise ConversionError(
            f"X: {call.kind} itself refuses these rows, of shapes {shapes}; {error!s:.300}"
        ) from error


def _fixed_rows(program: Any) -> int | None:
    """Return the number of rows that a program was traced for; ``None`` if any."""
    inputs = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values = [inputs[name].meta.get("val") for name in program.graph_signature.user_inputs]
    sizes = [value.shape[0] for value in values if len(getattr(value, "shape", ()))]
    # An open size is a symbol, and no int.
    same = sizes and all(isinstance(size, int) and size == sizes[0] for size in sizes)
    return sizes[0] if same else None


def _traced(call: TorchCall, samples: Feed, axes: Mapping[str, Sequence[int]]) -> Any:
    """Return the module as a program of PyTorch's operators.

    Args:
        call: the module.
        samples: inputs that it is traced with.
        axes: those of each input that stay open.

    Raises:
        UnsupportedModel: its code cannot be traced.
    """
    import torch

    class Flat(torch.nn.Module):  # type: ignore[misc]
        """The module with tensors as arguments, and a tuple of tensors as output."""

        def __init__(self) -> None:
            super().__init__()
            self.module = call.module

        def forward(self, *tensors: Any) -> Any:
            return tuple(named_outputs(call(tensors)).values())

    tensors = tuple(_tensors(samples))
    shapes = (tuple(dict.fromkeys(axes[name], torch.export.Dim.DYNAMIC) for name in samples),)
    try:
        with torch.no_grad():
            return torch.export.export(Flat().eval(), tensors, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # the tracer and the module's code raise errors of many kinds
        raise UnsupportedModel(
            f"model: {call.kind} cannot be exported: {trace_problem(error)}"
        ) from error


def _translated(program: Any, kind: str, inputs: list[str], outputs: list[str]) -> Any:
    """Return a program as a ModelProto.

    Raises:
        UnsupportedModel: an operator has no ONNX form.
    """
    import torch

    try:
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            external_data=False,
            verbose=False,
        )
        assert made is not None
        proto = made.model_proto
    except Exception as error:  # the exporter wraps errors of many kinds
        raise UnsupportedModel(
            f"model: {kind} cannot be exported: ONNX has no form for {onnx_problem(error, program)}"
        ) from error
    return proto


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Take dropout and the like out of use, and leave the module as it was.

    Hugging Face's decoders keep their keys and values in an object besides the tensors; a device
    has no use for it, so that is off meanwhile.
    """
    modes = {part: part.training for part in module.modules()}
    config = getattr(module, "config", None)
    cached = getattr(config, "use_cache", None)
    for part in modes:
        part.training = False
    if cached:
        config.use_cache = False  # type: ignore[union-attr]
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        if cached:
            config.use_cache = cached  # type: ignore[union-attr]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own reports, which are about its work and not about the model, away."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    # The tracer prints the graph of what it could not trace.
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
