"""Imports only ever point down, and importing little loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["edge_sdk.contract", "edge_sdk", "converters", "cloud_hub", "examples", "benchmarks"]


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, path


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(path: Path, *, lazy: bool) -> set[str]:
    """Modules that a file imports; without ``lazy`` only those that importing the file loads."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if is_type_checking(node) or (
            not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def layer(module: str) -> int | None:
    """The lowest layer that a module belongs to."""
    fits = [i for i, name in enumerate(LAYERS) if module == name or module.startswith(name + ".")]
    return min(fits) if fits else None


@pytest.mark.parametrize("package", LAYERS[:4])
def test_no_module_imports_from_a_layer_above(package: str) -> None:
    for name, path in modules(package):
        own = layer(name)
        assert own is not None
        above = {m for m in imports(path, lazy=True) if (layer(m) or 0) > own}
        assert not above, f"{name} imports {sorted(above)}"


def test_the_contract_needs_the_standard_library_alone() -> None:
    for name, path in modules("edge_sdk.contract"):
        for module in imports(path, lazy=True):
            top = module.split(".")[0]
            own = module.startswith("edge_sdk.contract")
            assert own or top in sys.stdlib_module_names, f"{name} imports {module}"


@pytest.mark.parametrize(
    ("library", "home"),
    [("onnxruntime", "edge_sdk.model.session"), ("requests", "edge_sdk.hub.client")],
)
def test_a_library_has_one_home_on_the_device(library: str, home: str) -> None:
    users = {
        name
        for name, path in modules("edge_sdk")
        if name != "edge_sdk.bench.raw"  # the peer that is measured is the library itself
        and any(m.split(".")[0] == library for m in imports(path, lazy=True))
    }
    assert users == {home}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    known = {name for package in LAYERS[1:] for name, _ in modules(package)}
    for package in LAYERS[1:]:
        for name, path in modules(package):
            graph[name] = {m for m in imports(path, lazy=False) if m in known and m != name}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, " -> ".join((*trail, name))
        if name not in state:
            state[name] = 1
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            state[name] = 2

    for name in sorted(graph):
        visit(name, ())


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
}


@pytest.mark.parametrize("statement", LIGHT)
def test_importing_little_loads_little(statement: str) -> None:
    heavy = LIGHT[statement]
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these() -> None:
    import converters
    import edge_sdk

    assert edge_sdk.__all__ == ["BatchPrediction", "EdgeDevice", "EdgeError", "Prediction"]
    assert converters.__all__ == [
        *("Calibration", "CascadeTarget", "ConversionError", "Datasets", "Metadata", "OnnxLayout"),
        *("Search", "Tolerances", "convert"),
    ]
    for package in (edge_sdk, converters):
        assert all(getattr(package, name) is not None for name in package.__all__)
