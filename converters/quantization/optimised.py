"""The float32 graph after the runtime's own rules that hold on every machine.

Constants are folded, batch normalisation and offsets go into the convolution before them. The
runtime does the same whenever it loads a model: done once, the file and the start are smaller, and
what quantizes sees the weights as they are used.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from converters.memory import trim
from converters.onnx_export.cleanup import tidy
from converters.onnx_export.constants import all_nodes
from converters.onnx_export.external_weights import SMALLEST, size_of, write_apart

_APART: Final = {
    "session.optimized_model_external_initializers_file_name": "after.weights",
    "session.optimized_model_external_initializers_min_size_in_bytes": str(SMALLEST),
}
"""The weights of the result are written to a file of their own: in one message they would be in
memory twice more."""

STANDARD: Final = ("", "ai.onnx", "ai.onnx.ml")


def optimised(proto: Any) -> Any | None:
    """Return a simpler copy; ``None`` if it is not simpler, or needs the runtime's own operators.

    Args:
        proto: the float32 model.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # "Basic" rules are those that hold on every machine: the others write for this processor.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        before, after = write_apart(proto, Path(folder)), Path(folder) / "after.onnx"
        options.optimized_model_filepath = str(after)
        for key, value in _APART.items():
            options.add_session_config_entry(key, value)
        onnxruntime.InferenceSession(str(before), options, providers=["CPUExecutionProvider"])
        trim(size_of(proto))
        made = onnx.load(str(after))
    domains = {entry.domain for entry in proto.opset_import}
    used = {node.domain for node in all_nodes(made.graph)}
    if not used <= {*domains, *STANDARD}:
        return None
    kept = [
        entry for entry in made.opset_import if entry.domain in (used | {""}) & (domains | {""})
    ]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    made.ir_version = proto.ir_version
    tidy(made)
    fewer = len(list(all_nodes(made.graph))) < len(list(all_nodes(proto.graph)))
    return made if fewer and size_of(made) <= 1.02 * size_of(proto) else None
