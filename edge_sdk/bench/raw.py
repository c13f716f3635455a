"""Plain onnxruntime on a file: the peer in its usual use, and the fastest use that it allows.

Besides :mod:`edge_sdk.model.runtime` the only module that imports onnxruntime: the peer is the
library itself, not our use of it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from edge_sdk.contract.dtypes import BY_RUNTIME, Dtype
from edge_sdk.contract.manifest import OutputSpec, TensorSpec
from edge_sdk.errors import BenchError

if TYPE_CHECKING:
    from edge_sdk.bench.harness import Ask
    from edge_sdk.model.release import Feed


class RawSession:
    """Session of plain onnxruntime.

    Args:
        path: ``.onnx`` file.
        threads: threads per call; ``None`` leaves every option at its default.

    Raises:
        BenchError: onnxruntime refuses the file.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise BenchError(f"{path}: onnxruntime cannot load it; {error}") from error
        self._bound_values: list[
            Any
        ] = []  # bindings hold pointers, so the values must outlive them

    @property
    def run(self) -> Ask:
        """``session.run(None, feed)``, as a function of a feed."""
        return functools.partial(self._session.run, None)

    def outputs_of(self, feed: Feed) -> Feed:
        """Run the model and return every output by name.

        Raises:
            BenchError: the model fails on ``feed``.
        """
        names = [spec.name for spec in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, feed), strict=True))
        except Exception as error:
            raise BenchError(f"the model fails on the rows to measure with; {error}") from error

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the inputs of the file; raises :class:`BenchError` if one is not a tensor."""
        return tuple(TensorSpec(*_described(value)) for value in self._session.get_inputs())

    def outputs(self) -> tuple[OutputSpec, ...]:
        """Return the outputs of the file; raises :class:`BenchError` if one is not a tensor."""
        return tuple(OutputSpec(*_described(value)) for value in self._session.get_outputs())

    def bound(self, feed: Feed, outputs: Sequence[str]) -> Any:
        """Bind ``feed``, copied beforehand, and buffers for ``outputs``; see :attr:`limit`.

        ``None`` if a tensor holds strings, which cannot be bound.
        """
        answers = self.outputs_of(feed)
        arrays = (*feed.values(), *(answers[name] for name in outputs))
        if any(np.asarray(array).dtype.kind not in "fiub" for array in arrays):
            return None
        binding, buffer = self._session.io_binding(), onnxruntime.OrtValue.ortvalue_from_numpy
        for name, array in feed.items():
            self._bound_values.append(value := buffer(np.ascontiguousarray(array)))
            binding.bind_ortvalue_input(name, value)
        for name in outputs:
            self._bound_values.append(value := buffer(np.ascontiguousarray(answers[name])))
            binding.bind_ortvalue_output(name, value)
        return binding

    @property
    def limit(self) -> Ask:
        """``session.run_with_iobinding``, as a function of a binding of :meth:`bound`."""
        ask: Ask = self._session.run_with_iobinding
        return ask


def _described(value: Any) -> tuple[str, Dtype, tuple[int | None, ...]]:
    if value.type not in BY_RUNTIME:
        raise BenchError(
            f"{value.name}: expected a tensor of numbers, booleans or strings, got {value.type}; a "
            "model with a ZipMap must be exported without it"
        )
    # onnxruntime reports open dimensions as text, None or 0.
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return value.name, BY_RUNTIME[value.type], shape
