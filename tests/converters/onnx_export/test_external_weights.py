"""Weights that stay in their file, and what a large conversion takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.errors import ConversionError
from converters.onnx_export import external_weights
from converters.onnx_export.serialise import to_bytes
from converters.sources.onnx_file import load_file
from edge_sdk.model.onnx_references import check_self_contained

WIDTH = 1_536


def dense(layers: int) -> Any:
    """Return a network of square layers, 9.4 MB each."""
    random = np.random.default_rng(0)
    nodes, tensors, last = [], [], "x"
    for i in range(layers):
        weights = random.standard_normal((WIDTH, WIDTH), np.float32) * np.sqrt(2 / WIDTH)
        tensors.append(numpy_helper.from_array(weights.astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"p{i}"]))
        nodes.append(helper.make_node("Relu", [f"p{i}"], [f"r{i}"]))
        last = f"r{i}"
    head = random.standard_normal((WIDTH, 10), np.float32) / 100
    tensors.append(numpy_helper.from_array(head, "head"))
    nodes.append(helper.make_node("MatMul", [last, "head"], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["answers"], axis=-1))
    kind = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["rows", WIDTH])]
    outputs = [helper.make_tensor_value_info("answers", kind, ["rows", 10])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 19 MB."""
    path = tmp_path_factory.mktemp("large") / "large.onnx"
    onnx.save(dense(2), str(path))
    return path


def test_large_weights_are_left_in_the_file_and_have_the_same_values(large: Path) -> None:
    light, whole = external_weights.load(large), onnx.load(str(large))
    assert light.ByteSize() < 100_000
    assert abs(external_weights.size_of(light) - large.stat().st_size) < 1_000
    assert external_weights.size_of(whole) == external_weights.size_of(light)
    for ours, theirs in zip(light.graph.initializer, whole.graph.initializer, strict=True):
        assert np.array_equal(external_weights.values_of(ours), numpy_helper.to_array(theirs))
        assert external_weights.digest(ours) == external_weights.digest(theirs)
        assert external_weights.with_values(ours) == theirs
    assert external_weights.with_all_values(light) == whole


def test_a_model_is_written_alike_wherever_its_weights_are(large: Path) -> None:
    assert to_bytes(external_weights.load(large)) == to_bytes(onnx.load(str(large)))


def test_the_runtime_maps_weights_that_are_apart(large: Path) -> None:
    import onnxruntime

    rows = np.random.default_rng(1).standard_normal((3, WIDTH), np.float32)
    with external_weights.loadable(external_weights.load(large)) as source:
        assert isinstance(source, str)
        apart = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    whole = onnxruntime.InferenceSession(str(large), providers=["CPUExecutionProvider"])
    assert np.array_equal(apart.run(None, {"x": rows})[0], whole.run(None, {"x": rows})[0])


def test_equal_weights_in_a_large_file_become_one(tmp_path: Path) -> None:
    proto = dense(2)
    proto.graph.initializer[1].raw_data = proto.graph.initializer[0].raw_data
    onnx.save(proto, str(tmp_path / "m.onnx"))
    names = {tensor.name for tensor in load_file(tmp_path / "m.onnx").graph.initializer}
    assert names == {"w0", "head"}


def test_weights_that_do_not_fit_their_shape_are_refused(tmp_path: Path) -> None:
    proto = dense(2)
    proto.graph.initializer[0].dims[0] += 1
    onnx.save(proto, str(tmp_path / "m.onnx"))
    with pytest.raises(ConversionError, match="valid ONNX model"):
        load_file(tmp_path / "m.onnx")


def test_a_file_cut_short_is_refused(large: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(large.read_bytes()[:-1_000_000])
    with pytest.raises(ConversionError, match="valid ONNX model"):
        load_file(tmp_path / "m.onnx")


@pytest.mark.parametrize("place", ["/etc/hostname", "../other.bin"])
def test_weights_in_files_of_other_folders_are_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "other.bin").write_bytes(bytes(WIDTH * 40))
    folder = tmp_path / "model"
    folder.mkdir()
    proto = dense(1)
    head = proto.graph.initializer[1]
    head.ClearField("raw_data")
    head.data_location = TensorProto.EXTERNAL
    head.external_data.add(key="location", value=place)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ConversionError, match="valid ONNX model"):
        load_file(folder / "m.onnx")


def test_a_reference_is_found_across_the_pieces_of_a_search(tmp_path: Path) -> None:
    from edge_sdk.errors import ReleaseError

    proto = dense(1)
    head = proto.graph.initializer[1]
    head.ClearField("raw_data")
    head.data_location = TensorProto.EXTERNAL
    head.external_data.add(key="location", value="weights")
    for shift in range(0, 24, 3):  # the word lies anywhere about the end of a piece
        raw = proto.SerializeToString()
        at = raw.find(b"location")
        size = WIDTH * WIDTH * 4
        assert at > 1 << 20
        # Shorten the weights before it until it begins a few bytes before the end of a piece.
        proto.graph.initializer[0].raw_data = bytes(size - at % (1 << 20) + 12 - shift)
        (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ReleaseError, match="external data"):
            check_self_contained(tmp_path / "m.onnx")


CHILD = """
import json, sys
from pathlib import Path
import numpy as np
from converters import convert

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) << 10

found, (small, large, out) = [], sys.argv[1:]
for i, path in enumerate((small, large)):
    width = 4 if i == 0 else %d
    X = np.random.default_rng(1).standard_normal((50, width), np.float32)
    release = convert(Path(path), X, name="m", out=f"{out}/{i}", output="probabilities")
    found.append(peak())
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no VmHWM")
def test_a_large_conversion_takes_little_memory_beyond_that_of_a_small_one(tmp_path: Path) -> None:
    """That of a small one is Python and its packages."""
    random = np.random.default_rng(0)
    weights = numpy_helper.from_array(random.standard_normal((4, 3), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answers"], axis=-1),
    ]
    kind = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, ["rows", 4])]
    outputs = [helper.make_tensor_value_info("answers", kind, ["rows", 3])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weights])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "s.onnx")
    onnx.save(dense(4), tmp_path / "l.onnx")
    command = [sys.executable, "-c", CHILD % WIDTH]
    command += [str(tmp_path / "s.onnx"), str(tmp_path / "l.onnx"), str(tmp_path / "out")]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    base, peak = json.loads(done.stdout)
    size = (tmp_path / "l.onnx").stat().st_size
    print(f"{(peak - base) / size:.2f}x of {size} bytes beyond {base >> 20} MiB")
    assert peak - base < 5 * size
