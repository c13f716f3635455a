"""What people write without this SDK: the same file through plain onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.timing import Ask


def session(path: Path, threads: int | None) -> Any:
    """A session with every option at its default, or with so many threads."""
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def plain(session: Any) -> Ask:
    """``session.run(None, {name: x})`` on one row or on a batch."""
    name = session.get_inputs()[0].name

    def ask(x: NDArray[Any]) -> object:
        return session.run(None, {name: x if x.ndim == 2 else x[None]})

    return ask


def prebound(session: Any, width: int, classes: int) -> Ask:
    """The limit: buffers bound once, the row copied in, the probabilities left where they are."""
    row, out = np.zeros((1, width), np.float32), np.zeros((1, classes), np.float32)
    binding = session.io_binding()
    name = session.get_inputs()[0].name
    binding.bind_input(name, "cpu", 0, row.dtype, row.shape, row.ctypes.data)
    binding.bind_output("probabilities", "cpu", 0, out.dtype, out.shape, out.ctypes.data)
    place = row[0]

    def ask(x: NDArray[Any]) -> object:
        place[:] = x
        session.run_with_iobinding(binding)
        return out

    return ask
