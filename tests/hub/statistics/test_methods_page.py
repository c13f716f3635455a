"""docs/STATISTICAL_METHODS.md tells of every public name, and the module is what it says it is."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from tests.structure import ROOT, Module, imported, modules

PAGE = (ROOT / "docs" / "STATISTICAL_METHODS.md").read_text()
SECTION = re.compile(r"^### `([\w.]+)`: .*?\n(.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(PAGE))
HOME = "cloud_hub.statistics"
MODULES = {m.name.removeprefix(f"{HOME}."): m for m in modules(HOME) if not m.is_package}


def public(module: Module) -> set[str]:
    """Functions and classes that a module defines for others."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = {node.name for node in module.tree.body if isinstance(node, kinds)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_told_of_in_the_section_of_its_module(name: str) -> None:
    told = set(re.findall(r"`(\w+)`", SECTIONS[name]))
    # A plural such as `GroupRate`s is told of, too.
    assert public(MODULES[name]) - told == set()


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_formula_assumptions_failures_and_source(name: str) -> None:
    assert name in MODULES
    for what in ("- **Formula.** ", "- **Assumes** ", "- **Fails** ", "- **Source.** "):
        assert SECTIONS[name].count(what) == 1, what


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) - anchors == set()


@pytest.mark.parametrize("name", MODULES)
def test_statistics_are_pure(name: str) -> None:
    """They need numbers, and what devices send; no database, no files, no clock, no network."""
    allowed = ("numpy", "scipy", HOME, "edge_sdk.contract", "edge_sdk.model.values")
    allowed += ("cloud_hub.deferred",)  # SciPy too, loaded at its first use
    forbidden = {"time", "datetime", "random", "os", "pathlib", "socket", "logging"}
    for each in imported(MODULES[name], lazy=True):
        top = each.split(".")[0]
        standard = top in sys.stdlib_module_names and top not in forbidden
        assert standard or each.startswith(allowed), f"{name} imports {each}"


def test_the_example_of_the_page_runs() -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "STATISTICAL_METHODS.md", "exec"), {})
