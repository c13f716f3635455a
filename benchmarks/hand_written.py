"""The peer of file variants: what people write with the usual tools.

The tools are onnxruntime.quantization and onnxconverter-common.

Each recipe is the documentation's own, with the preparation and the options that it recommends.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

CALIBRATION_ROWS: Final = 100


def dynamic(source: Path, out: Path, rows: Rows) -> None:
    """Products and LSTMs in int8, with ranges that are found in each call."""
    from onnxruntime import quantization

    prepared = _prepared(source, out)
    quantization.quantize_dynamic(prepared, out, weight_type=quantization.QuantType.QInt8)


def dynamic_per_channel(source: Path, out: Path, rows: Rows) -> None:
    """The same with a scale for each output and seven bits."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(
        _prepared(source, out),
        out,
        per_channel=True,
        reduce_range=True,
        weight_type=quantization.QuantType.QInt8,
    )


def static(source: Path, out: Path, rows: Rows) -> None:
    """All that int8 has kernels for, per channel."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows = iter(rows[:CALIBRATION_ROWS])

        def get_next(self) -> dict[str, Any] | None:
            row = next(self._rows, None)
            return None if row is None else {"x": row[None]}

    quantization.quantize_static(
        _prepared(source, out),
        out,
        Reader(),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )


def _prepared(source: Path, out: Path) -> Path:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(source, str(prepared), skip_symbolic_shape=True)
    return prepared


def half(source: Path, out: Path, rows: Rows) -> None:
    """Everything in float16 but inputs and outputs."""
    import onnx
    from onnxconverter_common import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), out)


RECIPES: Final[dict[str, Callable[[Path, Path, Rows], None]]] = {
    "quantize_dynamic": dynamic,
    "quantize_dynamic, per channel": dynamic_per_channel,
    "quantize_static": static,
    "float16": half,
}


def write(source: Path, folder: Path, rows: Rows) -> tuple[dict[str, Path], dict[str, str]]:
    """Run every recipe.

    Args:
        source: the ``.onnx`` file of a network with the input ``x``.
        folder: for the files.
        rows: to calibrate with, [N, …].

    Returns:
        Files by the name of the recipe, and why others failed.
    """
    files: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for name, recipe in RECIPES.items():
        path = folder / f"{len(files) + len(failed)}.onnx"
        try:
            with _silence():
                recipe(source, path, rows)
        except Exception as error:  # each tool has its own
            failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        else:
            files[name] = path
    return files, failed


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    level = logging.root.level
    logging.root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
