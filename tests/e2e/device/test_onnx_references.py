"""Models that would read other files than themselves: refused wherever a release is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from converters import ConversionError, convert
from edge_sdk.contract.manifest import MODEL, FileRef
from edge_sdk.errors import ReleaseError
from edge_sdk.model.onnx_references import check_self_contained
from edge_sdk.model.release import Release
from edge_sdk.system.files import sha256_file
from tests.edge.builders import make_release

SECRET = "../../keys/online.pem"


def outside(name: str = "w", location: str = SECRET) -> TensorProto:
    """A tensor of 64 bytes whose values are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[64])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def model(nodes: list[Any], tensors: list[TensorProto] | None = None, **more: Any) -> Any:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.UINT8, [64])
    graph = helper.make_graph(nodes, "location of nothing", [x], [y], initializer=tensors or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **more)


def branch(nodes: list[Any]) -> Any:
    return helper.make_graph(nodes, "b", [], [helper.make_empty_tensor_value_info("y")])


def constant(tensor: TensorProto) -> Any:
    return helper.make_node("Constant", [], ["y"], value=tensor)


def sparse() -> Any:
    made = model([helper.make_node("Identity", ["w"], ["y"])])
    made.graph.sparse_initializer.add(values=outside(), indices=outside("i"), dims=[64])
    return made


IDENTITY = [helper.make_node("Identity", ["w"], ["y"])]
OUTSIDE: dict[str, Callable[[], Any]] = {
    "an initializer": lambda: model(IDENTITY, [outside()]),
    "one beside the model": lambda: model(IDENTITY, [outside(location="golden.npz")]),
    "an absolute path": lambda: model(IDENTITY, [outside(location="/etc/shadow")]),
    "a constant": lambda: model([constant(outside())]),
    "a sparse initializer": sparse,
    "a branch within a branch": lambda: model([
        helper.make_node("If", ["x"], ["y"], then_branch=branch([
            helper.make_node("If", ["x"], ["y"], then_branch=branch([constant(outside())])),
        ])),
    ]),
    "a function": lambda: model(IDENTITY, functions=[
        helper.make_function(
            "own", "F", [], ["y"], [constant(outside())], [helper.make_opsetid("", 17)]
        )
    ]),
    "a list of tensors": lambda: model([
        helper.make_node("F", [], ["y"], tensors=[outside(), outside("v")], domain="own")
    ]),
    "a compiled graph": lambda: model([
        helper.make_node(
            "EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../engine.bin",
            embed_mode=0,
        )
    ]),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_model_that_refers_to_another_file_is_refused_before_a_runtime_sees_it(
    tmp_path: Path, case: str
) -> None:
    release = swapped(tmp_path / "demo-1.0", OUTSIDE[case]().SerializeToString())
    with pytest.raises(ReleaseError, match="expected a model that needs no other file"):
        Release.open(release)


def swapped(folder: Path, raw: bytes) -> Path:
    """A release whose model is ``raw``, with a manifest that says so: as a publisher signs it."""
    from dataclasses import replace

    made = make_release(folder)
    folder = made.folder
    (folder / MODEL).write_bytes(raw)
    ref = FileRef(len(raw), sha256_file(folder / MODEL))
    manifest = replace(made.manifest, files={**made.manifest.files, MODEL: ref})
    (folder / "manifest.json").write_bytes(manifest.to_json())
    return folder


def test_a_converter_takes_no_weights_from_outside_of_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "online.pem").write_bytes(b"A" * 64)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "keys" / "online.pem")
    for location in (SECRET, str(tmp_path / "keys" / "online.pem"), "link"):
        path = folder / "model.onnx"
        path.write_bytes(model(IDENTITY, [outside(location=location)]).SerializeToString())
        with pytest.raises(ConversionError, match="expected a valid ONNX model"):
            convert(path, np.zeros((1, 1), np.float32), name="thief", out=tmp_path / "out")


def test_a_model_with_its_weights_beside_it_becomes_one_file(tmp_path: Path) -> None:
    """Large exports come in two files; the release has one."""
    weights = np.random.default_rng(0).normal(size=(4, 300)).astype(np.float32)
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "location"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 300])],
            [onnx.numpy_helper.from_array(weights, "location")],
        ),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=9,
    )  # fmt: skip
    path = tmp_path / "large.onnx"
    onnx.save(made, path, save_as_external_data=True, location="large.data", size_threshold=0)
    with pytest.raises(ReleaseError, match="external data"):
        check_self_contained(path)
    release = convert(path, weights.T[:50], name="large", out=tmp_path / "out", output="values")
    check_self_contained(release.model_path)  # though the word "location" is in it


def plain() -> bytes:
    """A model without references in which the word occurs."""
    inside = onnx.numpy_helper.from_array(np.zeros(64, np.uint8), "allocation")
    raw: bytes = model([helper.make_node("Identity", ["allocation"], ["y"])], [inside]) \
        .SerializeToString()  # fmt: skip
    return raw


def test_a_model_without_references_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(plain())
    check_self_contained(path)


@given(st.data())
def test_damage_is_refused_or_passes_and_never_fails_otherwise(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(OUTSIDE[data.draw(st.sampled_from(sorted(OUTSIDE)))]().SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "model.onnx"
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        check_self_contained(path)
    except ReleaseError:
        return
    parsed = onnx.ModelProto()
    try:
        parsed.ParseFromString(path.read_bytes())
    except Exception:  # no runtime reads it either
        return
    assert not list(onnx.external_data_helper._get_all_tensors(parsed)) or all(
        not onnx.external_data_helper.uses_external_data(tensor)
        or not any(entry.key == "location" for entry in tensor.external_data)
        for tensor in onnx.external_data_helper._get_all_tensors(parsed)
    )
