"""The shape that keeps the code readable: short functions, small files, every public name told."""

from __future__ import annotations

import ast
import functools
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.structure import PACKAGES, ROOT, Function, class_names_used_twice

LONGEST_FILE, MEDIAN, P95, LONGEST = 300, 9, 30, 45


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def docstring_lines(tree: ast.AST) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


@dataclass(frozen=True)
class FileShape:
    """The lines of code of a file and of its functions, and what it says that it is for."""

    lines: int
    functions: dict[str, int]
    told: str


@functools.cache
def shape(path: Path) -> FileShape:
    text = path.read_text()
    tree = ast.parse(text)
    told = docstring_lines(tree)
    lines = {
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in told
    }
    functions = {
        f"{path.relative_to(ROOT)}:{node.lineno}:{node.name}": len(
            lines.intersection(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        )
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }
    return FileShape(len(lines), functions, ast.get_docstring(tree) or "")


@pytest.mark.parametrize("package", PACKAGES)
def test_files_fit_in_the_head(package: str) -> None:
    long = {str(p.relative_to(ROOT)): shape(p).lines for p in files(package)}
    assert {name: n for name, n in long.items() if n > LONGEST_FILE} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package: str) -> None:
    lengths = {name: n for path in files(package) for name, n in shape(path).functions.items()}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}
    ordered = sorted(lengths.values())
    assert statistics.median(ordered) <= MEDIAN
    assert ordered[int(0.95 * len(ordered))] <= P95


def test_no_class_name_has_two_meanings() -> None:
    assert class_names_used_twice() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    silent = [str(path) for path in files(package) if not shape(path).told]
    assert silent == []
