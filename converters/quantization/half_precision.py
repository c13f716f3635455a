"""Half precision: the whole graph computes in float16, for processors that do."""

from __future__ import annotations

from typing import Any

from converters.onnx_export.external_weights import with_all_values
from converters.quantization.silence import silence


def float16(proto: Any) -> Any | None:
    """Return a copy that computes in float16, with inputs and outputs as they were.

    ``None`` if there are no numbers to halve.

    The converter is the runtime's own; what float16 cannot hold is clipped.
    """
    if not any(tensor.data_type == 1 for tensor in proto.graph.initializer):
        return None
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with silence():
        return convert_float_to_float16(
            with_all_values(proto),
            keep_io_types=True,
            op_block_list=None,
            disable_shape_infer=False,
        )
