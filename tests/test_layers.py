"""Imports only ever point down, folders form no ring, and importing little loads little."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from tests.structure import (
    PACKAGES,
    Module,
    cycles,
    folder_graph,
    import_graph,
    imported,
    largest_folder,
    longest_chain,
    modules,
    root_modules,
)
from tests.waiting import PATIENCE

LAYERS = ["edge_sdk.contract", "edge_sdk", "converters", "cloud_hub", "examples", "benchmarks"]
AT_A_ROOT, IN_A_FOLDER, CHAIN = 6, 25, 14


def layer(module: str) -> int | None:
    """The lowest layer that a module belongs to."""
    fits = [i for i, name in enumerate(LAYERS) if module == name or module.startswith(name + ".")]
    return min(fits) if fits else None


def libraries(module: Module) -> set[str]:
    """Top-level names of all that a module imports."""
    return {name.split(".")[0] for name in imported(module, lazy=True)}


@pytest.mark.parametrize("package", LAYERS[:4])
def test_no_module_imports_from_a_layer_above(package: str) -> None:
    for module in modules(package):
        own = layer(module.name)
        assert own is not None
        above = {m for m in imported(module, lazy=True) if (layer(m) or 0) > own}
        assert not above, f"{module.name} imports {sorted(above)}"


def test_the_contract_needs_the_standard_library_alone() -> None:
    for module in modules("edge_sdk.contract"):
        for name in imported(module, lazy=True):
            standard = name.split(".")[0] in sys.stdlib_module_names
            assert standard or name.startswith("edge_sdk.contract"), f"{module.name} imports {name}"


@pytest.mark.parametrize(
    ("library", "home"),
    [("onnxruntime", "edge_sdk.model.runtime"), ("requests", "edge_sdk.hub.client")],
)
def test_a_library_has_one_home_on_the_device(library: str, home: str) -> None:
    measured = "edge_sdk.bench.raw"  # the peer that is measured is the library itself
    users = {m.name for m in modules("edge_sdk") if m.name != measured and library in libraries(m)}
    assert users == {home}


ABOVE_THE_DEVICE = (
    *("converters", "cloud_hub", "examples", "benchmarks"),
    *("tests.e2e", "tests.hub", "tests.converters", "tests.servers", "tests.named_hub"),
)


@pytest.mark.parametrize("package", ["tests.contract", "tests.edge"])
def test_tests_of_the_device_need_the_device_package_alone(package: str) -> None:
    for module in modules(package):
        names = imported(module, lazy=True)
        above = {n for n in names if n.startswith(ABOVE_THE_DEVICE)}
        assert not above, f"{module.name} imports {sorted(above)}; tests/e2e/device is the place"


@pytest.mark.parametrize(
    ("folder", "users"),
    [
        ("cloud_hub.forms", set()),
        (
            "cloud_hub.isolation",
            {
                *("cloud_hub.engine", "cloud_hub.features"),
                *("cloud_hub.personalise", "cloud_hub.runs"),
            },
        ),
        ("cloud_hub.flags", {"cloud_hub.alarms", "cloud_hub.fleet"}),
    ],
)
def test_a_folder_of_the_hub_is_imported_by_whom_the_architecture_names(
    folder: str, users: set[str]
) -> None:
    found = {
        module.name.rpartition(".")[0]
        for module in modules("cloud_hub")
        if any(name.startswith(folder + ".") for name in imported(module, lazy=True))
    }
    assert found - {"cloud_hub", folder} == users


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycles(import_graph(lazy=False)) == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    assert cycles(folder_graph()) == []


def test_one_can_draw_the_layout_from_memory() -> None:
    assert {p: names for p in PACKAGES if len(names := root_modules(p)) > AT_A_ROOT} == {}
    assert largest_folder()[1] <= IN_A_FOLDER
    chain = longest_chain(import_graph(lazy=True))
    assert len(chain) <= CHAIN, " -> ".join(chain)


LIGHT = {
    "import edge_sdk": ["numpy", "onnxruntime", "requests", "fastapi", "sklearn", "onnx"],
    "import edge_sdk.contract.plan, edge_sdk.contract.messages": ["numpy", "onnxruntime"],
    "from edge_sdk import EdgeDevice": [
        *("fastapi", "sklearn", "onnx", "skl2onnx", "sqlalchemy"),
        *("requests", "tuf", "sqlite3", "logging", "zipfile", "shutil"),
        *("edge_sdk.contract.messages", "edge_sdk.contract.plan", "edge_sdk.contract.fleet"),
        *(
            "edge_sdk.packs.reader",
            "edge_sdk.telemetry.label_store",
            "edge_sdk.experiments",
            "edge_sdk.update",
        ),
    ],
    "import converters": ["onnx", "sklearn", "skl2onnx", "onnxruntime"],
    "import cloud_hub.client": ["fastapi", "sklearn", "onnx", "skl2onnx", "sqlalchemy"],
    # All that a hub needs before its first request.
    "import cloud_hub.server": [
        *("scipy", "pandas", "pyarrow", "sqlite_utils", "alembic", "psycopg", "obstore"),
        *("onnxruntime", "onnx", "sklearn", "skl2onnx", "converters", "requests", "jinja2"),
        *("ray", "sqlalchemy.dialects.postgresql"),
    ],
}


@pytest.mark.parametrize("statement", LIGHT)
def test_importing_little_loads_little(statement: str) -> None:
    heavy = LIGHT[statement]
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "[]"


PUBLIC = {
    "edge_sdk": ["AsyncEdgeDevice", "BatchPrediction", "EdgeDevice", "EdgeError", "Prediction"],
    "edge_sdk.config": ["DeviceConfig"],
    "edge_sdk.entity": [
        *("EntityFeatures", "EntityPackInfo", "EntityPredictions", "EntityValues"),
        *("entity_key", "entity_keys", "joined_items"),
        *("write_entity_features", "write_entity_predictions"),
    ],
    "edge_sdk.meters": ["Counter", "Counters", "InTime", "Meter", "Summed", "find_meter"],
    "edge_sdk.ranking": ["Item", "Ranking"],
    "converters": [
        *("Calibration", "CascadeTarget", "ConversionError", "Data", "Metadata", "OnnxLayout"),
        *("Picture", "Search", "Spectrogram", "Tokenizer", "Tolerances", "convert"),
    ],
    "cloud_hub.client": ["AdminClient"],
}
"""What README and docs teach to import: it goes on working."""


@pytest.mark.parametrize("path", PUBLIC)
def test_the_public_names_are_these(path: str) -> None:
    module = importlib.import_module(path)
    if hasattr(module, "__all__"):
        assert module.__all__ == PUBLIC[path]
    assert all(getattr(module, name) is not None for name in PUBLIC[path])
