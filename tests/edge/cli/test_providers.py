"""``--providers`` and ``--provider-option`` of ``edge``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from edge_sdk.cli.main import main
from edge_sdk.cli.providers import add_provider_options, providers_of
from edge_sdk.contract.names import CPU
from edge_sdk.errors import InputError
from edge_sdk.system.providers import ProviderChoice
from tests.edge.builders import make_release

OPENVINO = "OpenVINOExecutionProvider"


def parsed(*arguments: str) -> list[ProviderChoice] | None:
    parser = argparse.ArgumentParser()
    add_provider_options(parser)
    return providers_of(parser.parse_args(arguments))


def test_short_names_are_those_of_onnxruntime() -> None:
    assert parsed() is None
    assert parsed("--providers", "openvino,CPU") == [OPENVINO, CPU]
    assert parsed("--providers", f" {OPENVINO}") == [OPENVINO]


def test_options_belong_to_a_provider_and_may_hold_any_character() -> None:
    option = "openvino.device_type=AUTO:GPU,CPU"
    expected = [(OPENVINO, {"device_type": "AUTO:GPU,CPU"}), CPU]
    assert parsed("--providers", "openvino,cpu", "--provider-option", option) == expected


WRONG = {
    "knows no 'gpu'; it knows": ("--providers", "gpu"),
    "expected NAME.KEY=VALUE, got 'x'": ("--providers", "cpu", "--provider-option", "x"),
    "openvino is none of --providers cpu": (
        *("--providers", "cpu"), *("--provider-option", "openvino.a=1"),
    ),
    "needs --providers": ("--provider-option", "cpu.a=1"),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_one_is_refused_in_words(message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsed(*WRONG[message])


def test_predict_says_why_it_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_release(tmp_path).folder)
    row = json.dumps([1.0, 2.0, 3.0, 4.0])
    assert main(["predict", folder, row, "--json", "--providers", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "model"
    assert main(["predict", folder, row, "--providers", "rknpu"]) == 1
    assert "has no RknpuExecutionProvider; it has" in capsys.readouterr().err
