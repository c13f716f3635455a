"""The shape of the code in figures; ``python -m tests.structure`` prints them.

:mod:`tests.test_layers` and :mod:`tests.test_shape` hold the limits; this module only measures.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import time
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
PACKAGES = ("edge_sdk", "converters", "cloud_hub")
QUESTIONS = {"What", "Which", "Whether", "How", "Of", "Who", "Where", "Whose"}
PUBLIC_PATHS = {
    "edge_sdk": {"__init__", "entity", "meters", "ranking"},
    "converters": {"__init__"},
    "cloud_hub": {"__init__"},
}
"""Modules at a package's root that only keep a public import path alive."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file: its dotted name, and the folder (package) that it stands in."""

    name: str
    path: Path

    @functools.cached_property
    def tree(self) -> ast.Module:
        """What the file says, parsed."""
        return ast.parse(self.path.read_text())

    @property
    def is_package(self) -> bool:
        """A folder's ``__init__``."""
        return self.path.name == "__init__.py"

    @property
    def folder(self) -> str:
        """Dotted name of the folder."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def modules(package: str, root: Path = ROOT) -> Iterator[Module]:
    """Every module below a package or folder, by dotted name."""
    for path in sorted((root / package.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, path)


def imported(module: Module, *, lazy: bool) -> frozenset[str]:
    """Dotted names that a module imports, each as it is written and with every name behind it.

    Args:
        module: to read.
        lazy: imports inside of functions count too. Those for type checkers alone never do.
    """
    eager, inside = _imports(module.path)
    return eager | inside if lazy else eager


@functools.cache
def _imports(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """What a file imports at once, and inside of functions; each is read once, for all tests."""
    found: dict[bool, set[str]] = {False: set(), True: set()}

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return
        names = found[inside]
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.expr):
            return
        for child in ast.iter_child_nodes(node):
            visit(child, inside or isinstance(node, Function))

    visit(ast.parse(path.read_text()), False)
    return frozenset(found[False]), frozenset(found[True])


Graph = dict[str, set[str]]


def import_graph(root: Path = ROOT, *, lazy: bool) -> Graph:
    """Which of our modules each of our modules imports."""
    every = [module for package in PACKAGES for module in modules(package, root)]
    names = {module.name for module in every}
    graph: Graph = {}
    for module in every:
        arrows = imported(module, lazy=lazy) & names - {module.name}
        # ``from a.b import c`` where c is a module: the arrow goes to c, not to its folder.
        graph[module.name] = {
            name for name in arrows if not any(other.startswith(f"{name}.") for other in arrows)
        }
    return graph


def longest_chain(graph: Graph) -> list[str]:
    """The longest path of imports, from the top down; a graph with cycles has no exact answer."""
    below: dict[str, list[str]] = {}

    def chain(name: str, above: frozenset[str]) -> list[str]:
        if name not in below:
            parts = (chain(n, above | {name}) for n in sorted(graph[name]) if n not in above)
            below[name] = [name, *max(parts, key=len, default=[])]
        return below[name]

    return max((chain(name, frozenset()) for name in sorted(graph)), key=len)


def folder_graph(root: Path = ROOT) -> Graph:
    """Which folder imports from which; a folder and the folders inside of it do not count."""
    home = {m.name: m.folder for package in PACKAGES for m in modules(package, root)}
    graph: Graph = {folder: set() for folder in home.values()}
    for name, others in import_graph(root, lazy=True).items():
        for other in others:
            one, two = home[name], home[other]
            nested = one == two or one.startswith(f"{two}.") or two.startswith(f"{one}.")
            if not nested:
                graph[one].add(two)
    return graph


def cycles(graph: Graph) -> list[set[str]]:
    """Groups that import each other in a ring."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for other in graph[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        return seen

    reach = {name: reachable(name) for name in graph}
    rings = {
        frozenset({name, *(o for o in others if name in reach[o])})
        for name, others in reach.items()
        if name in others
    }
    return [set(ring) for ring in rings]


def root_modules(package: str, root: Path = ROOT) -> list[str]:
    """Modules at a package's root that do more than keep a public import path alive."""
    names = {path.stem for path in (root / package).glob("*.py")}
    return sorted(names - PUBLIC_PATHS[package])


def largest_folder(root: Path = ROOT) -> tuple[str, int]:
    """The folder with the most modules, and how many."""
    count = Counter(
        module.folder
        for package in PACKAGES
        for module in modules(package, root)
        if not module.is_package
    )
    return count.most_common(1)[0]


def docstrings(root: Path = ROOT) -> list[str]:
    """Docstrings of all functions and classes."""
    return [
        text
        for package in PACKAGES
        for module in modules(package, root)
        for node in ast.walk(module.tree)
        if isinstance(node, Function | ast.ClassDef) and (text := ast.get_docstring(node))
    ]


def _public_functions(module: Module) -> Iterator[Function]:
    def visit(body: list[ast.stmt]) -> Iterator[Function]:
        for node in body:
            if isinstance(node, Function) and not node.name.startswith("_"):
                yield node
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body)

    yield from visit(module.tree.body)


def functions_with_args(root: Path = ROOT) -> tuple[int, int]:
    """Public functions of three or more parameters: those with an ``Args`` section, and all."""
    told, every = 0, 0
    for package in PACKAGES:
        for module in modules(package, root):
            for node in _public_functions(module):
                given = node.args
                names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                if len([name for name in names if name not in ("self", "cls")]) >= 3:
                    every += 1
                    told += "Args:" in (ast.get_docstring(node) or "")
    return told, every


def comments_a_thousand_lines(root: Path = ROOT) -> float:
    """Lines with a comment for each thousand lines of code; directives to tools do not count."""
    comments, lines = 0, 0
    for package in PACKAGES:
        for module in modules(package, root):
            with module.path.open("rb") as file:
                tokens = list(tokenize.tokenize(file.readline))
            texts = [t.string for t in tokens if t.type == tokenize.COMMENT]
            directives = ("# type:", "# noqa", "# fmt", "# ruff", "# pragma")
            comments += sum(not text.startswith(directives) for text in texts)
            code = {t.start[0] for t in tokens if t.type in (tokenize.NAME, tokenize.OP)}
            lines += len(code)
    return 1_000 * comments / lines


def class_names_used_twice(root: Path = ROOT) -> list[str]:
    """Names of top-level classes that two modules define."""
    count = Counter(
        node.name
        for package in PACKAGES
        for module in modules(package, root)
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    )
    return sorted(name for name, times in count.items() if times > 1)


def untyped_dicts(package: str, root: Path = ROOT) -> int:
    """Occurrences of ``dict[str, Any]``."""
    return sum(m.path.read_text().count("dict[str, Any]") for m in modules(package, root))


def help_seconds(module: str) -> float:
    """The fastest of five starts of a program with ``--help``."""

    def once() -> float:
        begin = time.perf_counter()
        command = [sys.executable, "-m", module, "--help"]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=PATIENCE)
        return time.perf_counter() - begin

    return min(once() for _ in range(5))


def figures(root: Path = ROOT) -> dict[str, object]:
    """Every figure by name."""
    told, every = functions_with_args(root)
    texts = docstrings(root)
    questions = sum(text.split()[0] in QUESTIONS for text in texts)
    folder, most = largest_folder(root)
    return {
        "modules at each root": {p: len(root_modules(p, root)) for p in PACKAGES},
        "largest folder": f"{most} ({folder})",
        "folder cycles": len(cycles(folder_graph(root))),
        "longest import chain": len(longest_chain(import_graph(root, lazy=True))),
        "dict[str, Any] in cloud_hub": untyped_dicts("cloud_hub", root),
        "docstrings that open with a question word": f"{questions} of {len(texts)}",
        "functions of three or more parameters with Args": f"{told} of {every}",
        "comments a thousand lines": round(comments_a_thousand_lines(root), 1),
        "class names used twice": len(class_names_used_twice(root)),
    }


def main() -> None:
    """Print the figures of this checkout, or of the one that is named."""
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    for name, value in figures(root).items():
        print(f"{name}: {value}")
    if root == ROOT:
        print(f"edge --help: {help_seconds('edge_sdk.cli.main'):.2f} s")


if __name__ == "__main__":
    main()
