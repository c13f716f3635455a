"""Answers of exported files of trees, without what a whole release would cost."""

from __future__ import annotations

import onnxruntime

from converters.onnx_export.export import export
from converters.onnx_export.serialise import to_bytes
from converters.sources.estimator import original_of
from converters.sources.rows import rows_of
from converters.trees.compact import compact


def answers_of_files(model, rows, asked):
    """Outputs by name for ``asked``, of the plain file and of the compact one if there is one."""
    original = original_of(model)
    proto = export(original, rows_of(rows, original.names, width=original.width))
    smaller = compact(proto)
    for file in (proto, *([smaller] if smaller else [])):
        session = onnxruntime.InferenceSession(to_bytes(file), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        yield dict(zip(names, session.run(None, {"X": asked}), strict=True))
