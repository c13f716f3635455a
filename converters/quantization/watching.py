"""Sessions that look at the tensors inside of a network, a row at a time, in little memory."""

from __future__ import annotations

from typing import Any


def watching_session(model: str | bytes) -> Any:
    """Return a session of onnxruntime that computes what the file says, node by node.

    Nothing is fused, so that each tensor is there to be looked at. A node runs as soon as it can,
    in the order of the file, and nothing is kept for the next row: else all tensors of a row are in
    memory together, which are 150 MiB of a ResNet-50, and with the arena twice that.

    Args:
        model: path or bytes of the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
