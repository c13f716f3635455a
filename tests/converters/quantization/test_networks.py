"""Weights of every kind of network, wherever its exporter has put them, are kept small."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.onnx_export.cleanup import tidy
from converters.onnx_export.serialise import to_bytes
from converters.quantization.weight_storage import float16_storage, int4_storage, int8_storage
from tests.converters import networks


def as_it_is(proto):
    return proto


NETWORKS = {
    "LSTM": lambda: networks.recurrent("LSTM"),
    "GRU": lambda: networks.recurrent("GRU"),
    "RNN": lambda: networks.recurrent("RNN"),
    "convolutions": networks.convolutional,
    "depthwise convolutions": lambda: networks.convolutional(depthwise=True),
}
FORMS = {
    "initializers": as_it_is,
    "Constant nodes": networks.with_constant_nodes,
    "bodies of If": networks.in_branches,
}


def answers(proto, x):
    session = onnxruntime.InferenceSession(to_bytes(proto))
    return session.run(["label", "probabilities"], {"x": x})


def cleaned(proto):
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    tidy(copy)
    onnx.checker.check_model(copy, full_check=True)
    return copy


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_a_quarter_of_its_size_with_the_same_labels(kind, form):
    x, y = networks.digits()
    plain = cleaned(FORMS[form](NETWORKS[kind]()))
    label, probabilities = answers(plain, x)
    assert (label == y).mean() > 0.8, "no classifier"
    stored = int8_storage(plain)
    onnx.checker.check_model(stored, full_check=True)
    small, near = answers(stored, x)
    share = len(to_bytes(stored)) / len(to_bytes(plain))
    assert share <= (0.36 if "depthwise" in kind or kind == "RNN" else 0.3)
    assert (small == label).mean() > 0.98
    assert np.abs(near - probabilities).max() < 0.1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrence_in_float16_has_half_the_bytes(kind, form):
    plain = cleaned(FORMS[form](NETWORKS[kind]()))
    assert len(to_bytes(float16_storage(plain))) <= 0.52 * len(to_bytes(plain))


def test_clean_up_changes_no_answer_of_a_network_with_bodies():
    x, _ = networks.digits()
    network = networks.in_branches(networks.convolutional())
    before = onnxruntime.InferenceSession(network.SerializeToString()).run(None, {"x": x})
    cleaned_up = cleaned(network)
    after = answers(cleaned_up, x)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_allclose(before[1], after[1], atol=1e-5)


@pytest.mark.parametrize("opset", [11, 12, 13, 17])
def test_four_bits_load_in_every_operator_set(opset):
    x, _ = networks.digits()
    plain = cleaned(networks.convolutional(opset=opset))
    label, _ = answers(plain, x)
    assert (answers(int4_storage(plain), x)[0] == label).mean() > 0.9
