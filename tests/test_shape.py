"""The shape that keeps the code readable: short functions, small files, every public name told."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
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


def code_lines(path: Path) -> set[int]:
    text = path.read_text()
    told = docstring_lines(ast.parse(text))
    return {
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in told
    }


def functions(package: str) -> Iterator[tuple[str, int]]:
    for path in files(package):
        lines = code_lines(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                own = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                yield f"{path.relative_to(ROOT)}:{node.name}", len(lines & set(own))


@pytest.mark.parametrize("package", PACKAGES)
def test_files_fit_in_the_head(package: str) -> None:
    long = {str(p.relative_to(ROOT)): len(code_lines(p)) for p in files(package)}
    assert {name: n for name, n in long.items() if n > LONGEST_FILE} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package: str) -> None:
    lengths = dict(functions(package))
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}
    ordered = sorted(lengths.values())
    assert statistics.median(ordered) <= MEDIAN
    assert ordered[int(0.95 * len(ordered))] <= P95


def test_no_class_name_has_two_meanings() -> None:
    assert class_names_used_twice() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    silent = [str(p) for p in files(package) if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []
