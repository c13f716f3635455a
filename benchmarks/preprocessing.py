"""What the steps before a network cost: ``python -m benchmarks.preprocessing`` prints the table.

Pictures of several sizes to 224 by 224, beside Pillow and NumPy, which are what an app would call
instead. Processor time of one thread, so that what else the machine does counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from converters import Picture
from converters.preprocessing.nodes import put_before
from converters.sources.onnx_session import RawModel

SIDE: Final = 224
SIZES: Final = ((480, 640), (1080, 1920), (2448, 3264))
CALLS: Final = 15


def main() -> None:
    """Print a line for each size of picture."""
    random = np.random.default_rng(0)
    before = Picture(_by_pillow, resize=(SIDE, SIDE), mean=(0.5,) * 3, std=(0.5,) * 3)
    steps = _steps(before)
    print("picture        in the release    Pillow and NumPy   (median ms, one thread)")
    for height, width in SIZES:
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        own = _median(lambda p=pixels: steps(p))  # type: ignore[misc]
        theirs = _median(lambda p=pixels: _by_pillow(p))  # type: ignore[misc]
        print(f"{width}x{height:<10}{own:14.1f}{theirs:20.1f}")


def _by_pillow(pixels: Any) -> Any:
    from PIL import Image

    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return ((np.asarray(small, np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)


def _steps(before: Picture) -> Callable[[Any], Any]:
    """Return the steps without a network behind them."""
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    nodes, result = before.build()
    proto = put_before(network, nodes, result, before.given())
    raw = RawModel(proto.SerializeToString(), "steps")
    return lambda pixels: raw.run({before.name: pixels[None]})


def _median(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(CALLS):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return 1_000 * float(np.median(taken))


if __name__ == "__main__":
    main()
