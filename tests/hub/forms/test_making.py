"""Patches are small where files are alike, and right whatever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cloud_hub.forms.making import make_patch
from cloud_hub.forms.tensors import tensors
from edge_sdk.contract.manifest import FileRef
from edge_sdk.system.compression import zstd
from edge_sdk.system.files import sha256_file
from edge_sdk.update.patch import apply_patch
from tests.hub.forms.networks import Weights, everywhere, head_only, network, weights


def cost(base: Path | None, new: Path, folder: Path) -> int:
    """Bytes of the patch, which was applied and made the very file."""
    make_patch(base, new, folder / "patch")
    wanted = FileRef(new.stat().st_size, sha256_file(new))
    apply_patch(folder / "patch", base, wanted, folder / "made")
    assert (folder / "made").read_bytes() == new.read_bytes()
    return (folder / "patch").stat().st_size


def patched(after: Weights, folder: Path, before: Weights | None = None) -> tuple[int, int]:
    """Bytes of the patch from the network with weights ``before``, and of the new file."""
    base = network(weights() if before is None else before, folder / "base")
    new = network(after, folder / "new")
    return cost(base, new, folder), new.stat().st_size


def test_a_network_whose_head_was_trained_costs_no_more_than_the_bytes_that_changed(
    tmp_path: Path,
) -> None:
    changed = sum(w.nbytes for w in weights()[-4:])
    assert patched(head_only(weights()), tmp_path)[0] <= changed


def test_a_network_that_was_trained_further_everywhere_costs_less_than_half(
    tmp_path: Path,
) -> None:
    patch, whole = patched(everywhere(weights()), tmp_path)
    assert patch <= 0.5 * whole


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_widths_of_numbers_are_compared_as_what_they_are(tmp_path: Path, dtype: Any) -> None:
    before = weights(dtype=dtype)
    patch, whole = patched(everywhere(before), tmp_path, before)
    assert patch <= (0.2 if dtype == np.float16 else 0.75) * whole


def test_a_quantised_network_whose_steps_moved_by_one_costs_a_fraction(tmp_path: Path) -> None:
    before = [np.clip(w * 600, -127, 127).astype(np.int8) for w in weights()]
    rng = np.random.default_rng(3)
    after = [w + (rng.random(w.shape) < 0.02).astype(np.int8) for w in before]
    patch, whole = patched(after, tmp_path, before)
    assert patch <= 0.07 * whole


def test_a_network_trained_anew_costs_no_more_than_the_best_that_zstd_does(
    tmp_path: Path,
) -> None:
    """Neither of its base, which it has nothing in common with, nor without one."""
    new = network(weights(7), tmp_path / "anew")
    best = len(zstd.compress(new.read_bytes(), 19))
    assert cost(None, new, tmp_path) <= best
    assert patched(weights(7), tmp_path)[0] <= best


def test_text_costs_no_more_than_the_best_that_zstd_does(tmp_path: Path) -> None:
    text = b"".join(b"%d,%d;" % (i * i, i % 7) for i in range(20_000))
    (tmp_path / "new").write_bytes(text)
    assert cost(None, tmp_path / "new", tmp_path) <= len(zstd.compress(text, 19)) + 200


def test_a_layer_between_others_costs_that_layer_although_all_behind_it_are_renamed(
    tmp_path: Path,
) -> None:
    before = weights()
    new = weights(5)[:2]
    patch, _ = patched([*before[:4], *new, *before[4:]], tmp_path)
    assert patch <= sum(w.nbytes for w in new)


def test_classes_that_are_added_cost_the_last_layer(tmp_path: Path) -> None:
    before = weights()
    wider = np.concatenate([before[-2], weights(5)[-2][:, :1]], axis=1)
    patch, _ = patched([*before[:-2], wider, np.append(before[-1], np.float32(0))], tmp_path)
    assert patch <= wider.nbytes + 500


def test_the_same_file_costs_nothing_to_speak_of(tmp_path: Path) -> None:
    assert patched(weights(), tmp_path)[0] < 500


def test_bytes_that_were_moved_and_inserted_are_found_in_files_of_no_structure(
    tmp_path: Path,
) -> None:
    raw = np.random.default_rng(1).bytes(300_000)
    (tmp_path / "base").write_bytes(raw)
    (tmp_path / "new").write_bytes(raw[100_001:] + b"between" * 3 + raw[:99_999])
    assert cost(tmp_path / "base", tmp_path / "new", tmp_path) < 1_000


@settings(max_examples=40)
@given(st.binary(max_size=600), st.binary(max_size=600))
@example(b"", b"")
@example(b"a" * 200, b"a" * 150 + b"b" + b"a" * 60)
@example(bytes(range(256)) * 2, bytes(range(256)) * 3)
def test_any_two_files_are_patched_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, base: bytes, new: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "base").write_bytes(base)
    (folder / "new").write_bytes(new + base[::2] + base)
    cost(folder / "base", folder / "new", folder)
    cost(None, folder / "new", folder)


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_model_is_patched_as_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A hub takes any file as a model's: whatever its structure says, nothing goes wrong."""
    folder = tmp_path_factory.mktemp("damaged")
    raw = bytearray(network([w[:4] for w in weights()[:2]], folder / "base").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "new").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    cost(folder / "base", folder / "new", folder)
    cost(folder / "new", folder / "base", folder)


def test_constants_and_the_tensors_of_subgraphs_are_found() -> None:
    inner = helper.make_graph(
        [helper.make_node("Add", ["inside", "inside"], ["y"])],
        "inner",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.ones(3, np.float32), "inside")],
    )
    constant = helper.make_tensor("c", TensorProto.FLOAT, [2], [1.0, 2.0])  # float_data
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["k"], value=constant),
            helper.make_node("If", ["b"], ["z"], then_branch=inner, else_branch=inner),
        ],
        "outer",
        [helper.make_tensor_value_info("b", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [3])],
    )
    raw = helper.make_model(graph).SerializeToString()
    found = tensors(memoryview(raw))
    assert {(t.name, t.width, t.length) for t in found} == {
        ("/k.value:c", 4, 8),
        ("/z.then_branch:inside", 4, 12),
        ("/z.else_branch:inside", 4, 12),
    }
    values = {np.frombuffer(raw[t.start : t.stop], "<f4").tobytes() for t in found}
    assert values == {np.array([1, 2], "<f4").tobytes(), np.ones(3, "<f4").tobytes()}
