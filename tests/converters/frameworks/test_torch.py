"""Modules of PyTorch become releases in one call; what cannot be exported says which operator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from converters import ConversionError, convert
from converters.cli.app import app
from converters.errors import ParityError, UnsupportedModel
from converters.frameworks import torch_checks
from converters.frameworks.frameworks import export_module, load_module
from converters.frameworks.module_samples import samples_of
from converters.sources.module_parity import hold_to_module
from edge_sdk import EdgeDevice
from edge_sdk.model.session import Model

pytestmark = [pytest.mark.torch, pytest.mark.slow]
torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")

from tests.converters.frameworks import modules  # noqa: E402 (needs PyTorch)

RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.standard_normal(shape)


def own_answers(module, **arrays):
    with torch.no_grad():
        out = module.eval()(**{n: torch.from_numpy(a) for n, a in arrays.items()})
    return (out["logits"] if isinstance(out, dict) else out).numpy()


def test_a_classifier_becomes_a_release_that_answers_as_the_module_does(tmp_path):
    torch.manual_seed(0)
    module = modules.Net()
    x = numbers(12, 3, 8, 8)
    truth = own_answers(module, x=x.astype(np.float32))
    module.train()
    release = convert(module, x, truth.argmax(1), name="m", out=tmp_path / "r")
    assert module.training
    assert module.head.training
    assert release.manifest.training["estimator"] == "Net"
    assert "of the largest value" in release.manifest.training["parity"]
    assert release.manifest.metrics["score"] == 1.0
    assert release.manifest.signature.inputs[0].shape == (None, 3, 8, 8)
    assert sorted(path.name for path in release.folder.iterdir()) == sorted(
        ["manifest.json", *release.manifest.files]
    )
    with EdgeDevice.offline(tmp_path / "r") as device:
        for i in range(3):
            p = device.predict(x[i : i + 1].astype(np.float32))
            assert p.label == truth[i].argmax()
            expected = np.exp(truth[i] - truth[i].max())
            assert np.allclose(p.probabilities, expected / expected.sum(), atol=1e-5)


def test_a_module_with_several_inputs_takes_them_by_name(tmp_path):
    module = modules.TwoInputs()
    x, ids = numbers(6, 4), RANDOM.integers(0, 10, (6, 3))
    feed = {"x": x, "ids": ids}
    release = convert(module, feed, name="m", out=tmp_path / "r", output="values")
    assert [spec.name for spec in release.manifest.signature.inputs] == ["x", "ids"]
    answers = Model.load(release).run({"x": x.astype(np.float32), "ids": ids})
    expected = own_answers(module, x=x.astype(np.float32), ids=ids)
    assert np.allclose(next(iter(answers.values())), expected, atol=1e-5)


def test_columns_of_a_table_keep_their_names(tmp_path):
    table = pd.DataFrame(numbers(8, 3), columns=["age", "weight", "height"])
    release = convert(torch.nn.Linear(3, 1), table, name="m", out=tmp_path / "r", output="values")
    assert [column.name for column in release.manifest.signature.columns] == list(table.columns)


def test_a_recurrent_module_is_held_to_itself():
    assert hold_to_module(export_module(modules.Recurrent(), numbers(5, 7, 6), batched=True)) < 1e-5


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_a_module_of_another_precision_keeps_it(dtype):
    module = torch.nn.Linear(4, 3).to(getattr(torch, dtype))
    exported = export_module(module, numbers(4, 4), batched=True)
    assert {array.dtype.name for array in exported.samples[0].values()} == {dtype}
    assert hold_to_module(exported) <= 1e-3


def test_a_program_file_keeps_its_open_axes(tmp_path):
    rows, words = torch.export.Dim("rows"), torch.export.Dim("words")
    program = torch.export.export(
        modules.TwoInputs().eval(),
        (torch.zeros(3, 4),),
        {"ids": torch.zeros(3, 2, dtype=torch.int64)},
        dynamic_shapes={"x": {0: rows}, "ids": {0: rows, 1: words}},
        strict=False,
    )
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = load_module(tmp_path / "m.pt2", trust=False)
    feed = {"x": numbers(6, 4), "ids": RANDOM.integers(0, 10, (6, 5))}
    exported = export_module(loaded, feed, batched=True)
    assert hold_to_module(exported) < 1e-5
    shapes = {v.name: len([d for d in v.type.tensor_type.shape.dim if d.dim_param])
              for v in exported.proto.graph.input}  # fmt: skip
    assert shapes == {"x": 1, "ids": 2}


def test_a_program_of_fixed_rows_is_run_in_blocks(tmp_path):
    module = torch.nn.Linear(4, 3).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(2, 4),)), tmp_path / "m.pt2")
    x = numbers(5, 4)
    release = convert(tmp_path / "m.pt2", x, name="m", out=tmp_path / "r", output="values")
    answers = Model.load(release).run({"input": x.astype(np.float32)})
    with torch.no_grad():
        expected = module(torch.from_numpy(x.astype(np.float32))).numpy()
    assert np.allclose(next(iter(answers.values())), expected, atol=1e-5)


def test_odd_modules_answer_as_they_do():
    exported = export_module(modules.Odd(), numbers(5, 4), batched=True)
    assert hold_to_module(exported) < 1e-5
    # An output with the name of an input gets another one.
    names = [value.name for value in exported.proto.graph.output]
    assert names == ["parts_output_0", "parts_output_1_output_0", "output_x"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("wrapped", [torch.compile, torch.nn.DataParallel])
def test_a_wrapped_module_is_exported_as_what_is_inside(wrapped):
    exported = export_module(wrapped(torch.nn.Linear(4, 3)), numbers(5, 4), batched=True)
    assert hold_to_module(exported) < 1e-5


def test_axes_in_which_samples_differ_stay_open(tmp_path):
    module, x = modules.AnyLength(), [numbers(length, 4) for length in (3, 9, 5)]
    release = convert(module, x, name="m", out=tmp_path / "r", output="values",
                      variants=["float32"])  # fmt: skip
    assert release.manifest.signature.inputs[0].shape == (None, None, 4)
    long = numbers(2, 30, 4).astype(np.float32)
    answers = Model.load(release).run({"x": long})
    with torch.no_grad():
        expected = module(torch.from_numpy(long))
    assert all(
        np.allclose(a, e, atol=1e-5) for a, e in zip(answers.values(), expected, strict=True)
    )


def test_rows_along_another_axis_of_an_output_are_joined_there():
    exported = export_module(modules.AnyLength(), numbers(70, 5, 4), batched=True)
    assert hold_to_module(exported) < 1e-5


UNSUPPORTED = {
    "an operator without an ONNX form": (modules.Bessel, "bessel_j0.*modules.py, line"),
    "a branch on values": (modules.Branching, "values of a tensor.*if x.sum"),
    "a fixed number of rows": (modules.FixedRows, "number of rows"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_cannot_be_exported_says_what_and_where(case, tmp_path):
    kind, message = UNSUPPORTED[case]
    with pytest.raises(UnsupportedModel, match=message):
        convert(kind(), numbers(3, 4), name="m", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_the_layer_of_an_operator_is_named():
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), modules.Bessel())
    with pytest.raises(UnsupportedModel, match="in the layer 1"):
        export_module(network, numbers(4, 4), batched=True)


def test_a_module_that_treats_one_row_differently_is_refused():
    exported = export_module(modules.OtherWhenAlone(), numbers(5, 4), batched=True)
    with pytest.raises(ParityError, match="differs from"):
        hold_to_module(exported)


BAD = {
    "chance": (modules.Noisy, numbers(4, 4), "each time"),
    "no tensors": (modules.Words, numbers(4, 4), "tensors as outputs, got str"),
    "rows of another width": (lambda: torch.nn.Linear(4, 3), numbers(4, 5), "itself refuses"),
    "an accelerator": (lambda: torch.nn.Linear(4, 3).to("meta"), numbers(4, 4), r"\.cpu\(\)"),
    "bfloat16": (lambda: torch.nn.Linear(4, 3).bfloat16(), numbers(4, 4), r"\.float\(\)"),
    "an array for several inputs": (modules.TwoInputs, numbers(4, 4), "a dict with an array"),
    "unknown inputs": (modules.TwoInputs, {"z": numbers(4, 4)}, "by the names of its inputs"),
    "nothing": (lambda: modules.Returns(lambda h: None), numbers(4, 4), "outputs, got none"),
    "a number": (lambda: modules.Returns(lambda h: (h, 3.5)), numbers(4, 4), "got float"),
    "a loss": (lambda: modules.Returns(lambda h: (h, h.mean())), numbers(4, 4), "such as a loss"),
    "rows that are left out": (
        lambda: modules.Returns(lambda h: h[h > 9]),
        numbers(4, 4),
        "an answer for each",
    ),
    "complex numbers": (
        lambda: modules.Returns(lambda h: h * 1j),
        numbers(4, 4),
        "real and imaginary",
    ),
    "answers in bfloat16": (
        lambda: modules.Returns(lambda h: h.bfloat16()),
        numbers(4, 4),
        "it as float32",
    ),
    "layers without weights": (lambda: torch.nn.LazyLinear(3), numbers(4, 4), "once on a row"),
    "no forward": (lambda: torch.nn.ModuleList([torch.nn.Linear(4, 3)]), numbers(4, 4), "forward"),
    "samples on another device": (
        lambda: torch.nn.Linear(4, 3),
        torch.zeros(4, 4, device="meta"),
        "without values",
    ),
    "sparse samples": (lambda: torch.nn.Linear(4, 3), torch.eye(4).to_sparse(), r"to_dense\(\)"),
    "a loader": (
        lambda: torch.nn.Linear(4, 3),
        torch.utils.data.DataLoader(numbers(4, 4)),
        "got DataLoader",
    ),
    "a data set": (
        lambda: torch.nn.Linear(4, 3),
        torch.utils.data.TensorDataset(torch.zeros(4, 4)),
        "got TensorDataset",
    ),
    "a class": (lambda: torch.nn.Linear, numbers(4, 4), "got the class Linear"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_clear_error(case, tmp_path):
    make, x, message = BAD[case]
    with pytest.raises(ConversionError, match=message):
        convert(make(), x, name="m", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_module_beyond_the_limit_of_a_file_is_refused(monkeypatch):
    monkeypatch.setattr(torch_checks, "MODEL_BYTES", 50)
    with pytest.raises(ConversionError, match=r"of weights.*one in float16"):
        export_module(torch.nn.Linear(4, 3), numbers(4, 4), batched=True)


def test_samples_in_bfloat16_are_read():
    assert samples_of(torch.ones(3, 4).bfloat16(), ["x"], "float32")[0]["x"].dtype == np.float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_module_that_pytorch_quantized_is_refused():
    from torch.ao.quantization import quantize_dynamic

    network = torch.nn.Sequential(torch.nn.Linear(4, 3)).eval()
    quantized = quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)
    with pytest.raises(UnsupportedModel, match=r"its layer 0.*int8 itself"):
        export_module(quantized, numbers(4, 4), batched=True)


def test_a_file_is_converted_from_the_command_line(tmp_path):
    rows = torch.export.Dim("rows")
    program = torch.export.export(
        torch.nn.Linear(4, 3).eval(), (torch.zeros(3, 4),), dynamic_shapes=({0: rows},)
    )
    torch.export.save(program, tmp_path / "m.pt2")
    np.savez(tmp_path / "rows.npz", X=numbers(6, 4).astype(np.float32))
    command = ["convert", tmp_path / "m.pt2", "--data", tmp_path / "rows.npz", "--name", "m"]
    options = ["--out", tmp_path / "r", "--output", "values"]
    result = CliRunner().invoke(app, [*map(str, command), *map(str, options)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r" / "manifest.json").is_file()


def test_a_generator_is_refused_and_not_read(tmp_path):
    stream = iter([np.zeros(4)])
    with pytest.raises(ConversionError, match="more than once"):
        convert(torch.nn.Linear(4, 3), stream, name="m", out=tmp_path / "r")
    assert len(list(stream)) == 1


def test_a_torchscript_module_says_what_to_give_instead():
    with pytest.warns(DeprecationWarning, match="jit"):
        scripted = torch.jit.script(torch.nn.Linear(4, 3))
    with pytest.raises(UnsupportedModel, match="TorchScript"):
        export_module(scripted, numbers(4, 4), batched=True)


def test_a_file_that_is_no_program_or_only_weights_is_refused(tmp_path):
    (tmp_path / "m.pt2").write_bytes(b"no archive")
    with pytest.raises(ConversionError, match=r"torch\.export\.save"):
        convert(tmp_path / "m.pt2", numbers(4, 4), name="m", out=tmp_path / "r")
    torch.save(torch.nn.Linear(4, 3).state_dict(), tmp_path / "m.pt")
    with pytest.raises(ConversionError, match="holds weights"):
        convert(tmp_path / "m.pt", numbers(4, 4), name="m", out=tmp_path / "r")


def test_samples_of_tensors_and_lists_become_arrays():
    assert samples_of(torch.zeros(3, 4), ["x"], "float32")[0]["x"].shape == (3, 4)
    assert samples_of([torch.zeros(4)] * 3, ["x"], "float32")[0]["x"].shape == (3, 4)
