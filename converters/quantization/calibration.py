"""Ranges of activations, learnt from rows by onnxruntime's calibrators."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from converters.onnx_export.external_weights import WEIGHTS
from converters.quantization.watching import watching_session
from edge_sdk.model.release import Feed

METHODS: Final = {
    "int8-static-minmax": "MinMax",
    "int8-static-entropy": "Entropy",
    "int8-static-percentile": "Percentile",
}
"""Ways to choose the range of an activation, by name of the variant."""

NUMBERS: Final = 200_000_000
"""Activations that are looked at, about; at ten nanoseconds each, two seconds for a histogram."""

FEWEST: Final = 16
TOGETHER: Final = 8_000_000
"""Activations that are in memory at a time, about."""


def ranges(
    path: Path, operators: tuple[str, ...], feeds: list[Feed], name: str, numbers: int
) -> Any:
    """Return the range of each tensor around some operators.

    Args:
        path: of the float32 model, as ``write_apart`` wrote it; its nodes have names, its tensors
            types.
        operators: types of nodes.
        feeds: rows, one feed a row; of a large model only some of them are used.
        name: one of :data:`METHODS`.
        numbers: that the model computes for one row.
    """
    from onnxruntime import quantization

    method = getattr(quantization.CalibrationMethod, METHODS[name])
    with tempfile.TemporaryDirectory() as folder:
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = quantization.create_calibrator(
            path,
            list(operators),
            augmented,
            method,
            use_external_data_format=(path.parent / WEIGHTS).stat().st_size > 0,
        )
        calibrator.model = None  # the whole model once more; what runs is the augmented file
        calibrator.infer_session = watching_session(augmented)
        # The same number of rows each time: it goes by the model, not by the machine.
        count = min(len(feeds), max(FEWEST, NUMBERS // max(1, numbers)))
        chosen = feeds[:: max(1, len(feeds) // count)][:count]
        rows = max(1, TOGETHER // max(1, numbers))
        for start in range(0, len(chosen), rows):
            calibrator.collect_data(_reader(chosen[start : start + rows]))
        return calibrator.compute_data()


def _reader(feeds: list[Feed]) -> Any:
    from onnxruntime import quantization

    class Rows(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._rows, None)

    return Rows()
