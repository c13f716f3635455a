"""Session options reach onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.manifest import MODEL
from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import write_release
from edge_sdk.model.runtime import available_providers, session_options
from edge_sdk.model.session import Model
from edge_sdk.system.providers import DEFAULT_PROVIDERS
from tests.edge.builders import make_release


def test_the_configuration_decides_the_threads() -> None:
    options = RuntimeOptions.of(DeviceConfig(threads=3))
    assert options == RuntimeOptions(threads=3, providers=DEFAULT_PROVIDERS)
    native = session_options(options)
    assert (native.intra_op_num_threads, native.inter_op_num_threads) == (3, 1)


def test_a_model_loads_with_the_providers_that_are_asked_for(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    model = Model.load(release, RuntimeOptions(providers=("CPUExecutionProvider",)))
    assert model._session.get_providers() == ["CPUExecutionProvider"]


def test_no_node_runs_on_a_provider_that_the_release_may_not_use(tmp_path: Path) -> None:
    other = next((name for name in available_providers() if name != CPU), None)
    if other is None:
        pytest.skip("this onnxruntime has the CPU alone")
    options, release = RuntimeOptions(providers=(CPU, other)), make_release(tmp_path)
    fewer = replace(release, providers=(CPU,), provider=CPU)
    assert Model.load(fewer, options)._session.get_providers() == [CPU]
    # What is loaded with more is not taken for what may use fewer.
    assert not fewer.runs_like(replace(fewer, providers=options.providers))


def test_a_session_that_cannot_be_made_is_a_release_error(tmp_path: Path) -> None:
    made = make_release(tmp_path)
    files = {name: (made.folder / name).read_bytes() for name in made.manifest.files}
    release = write_release(tmp_path / "bad", made.manifest, {**files, MODEL: b"no model"})
    with pytest.raises(ReleaseError, match="onnxruntime cannot load it"):
        Model.load(release)
