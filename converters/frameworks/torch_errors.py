"""Reasons why PyTorch could not export a module: the operator, and the line that asks for it."""

from __future__ import annotations

import contextlib
import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from converters.errors import first_line

_EXPORTERS: Final = ("torch", "onnxscript", "onnx_ir", "keras")
"""Packages whose lines a user cannot change."""

_OURS: Final = str(Path(__file__).parent)
_STANDARD: Final = sysconfig.get_paths()["stdlib"]

_OPERATOR: Final = re.compile(r"OpOverload\(op='([^']+)'")
_NODE: Final = re.compile(r"Error when translating node %(\w+)")
_TRACED: Final = re.compile(r'File "([^"]+)", line (\d+), in \S+')


def trace_problem(error: Exception) -> str:
    """Return why a module could not be traced, and in which line of it."""
    kind, place = type(error).__name__, _line_of(error)
    text = str(error)
    if "GuardOnDataDependent" in kind or "data-dependent" in text:
        return (
            f"its Python code decides by the values of a tensor{place}; write it with torch.where "
            "or torch.cond"
        )
    if "specialized it to be a constant" in text or "Constraints violated" in text:
        return (
            f"its code fixes the number of rows, or a size in which samples differ{place}; use "
            "x.shape[0] or -1 in the place of a number, samples of one size, or one sample and "
            "batched=False"
        )
    return f"{first_line(error)}{place}"


def onnx_problem(error: Exception, program: Any) -> str:
    """Return the operator that has no ONNX form, and the line of the module that asks for it.

    Args:
        error: of the exporter.
        program: the traced module.
    """
    causes = list(_chain(error))
    messages = [str(each) for each in causes]
    operators = [match[1] for message in messages for match in _OPERATOR.finditer(message)]
    nodes = [match[1] for message in messages for match in _NODE.finditer(message)]
    if not operators:
        return first_line(causes[-1])
    node = _node_behind(program, nodes[-1] if nodes else "", operators[-1])
    return f"the operator {operators[-1]}{_place_of(node) if node is not None else ''}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _line_of(error: Exception) -> str:
    frames = [
        (frame.filename, frame.lineno or 0)
        for each in _chain(error)
        for frame in traceback.extract_tb(each.__traceback__)
        if _is_users(frame.filename)
    ]
    return _shown(*frames[-1]) if frames else ""


def _node_behind(program: Any, name: str, operator: str) -> Any:
    """Return the node that an operator came from; operators are taken apart on their way to ONNX.

    ``None`` if the parts do not show it.
    """
    graphs = [program.graph]
    with contextlib.suppress(Exception):  # without it the operator is named all the same
        graphs.append(program.run_decompositions().graph)
    stem = operator.rpartition(".")[2].strip("_")
    for graph in graphs:
        calls = [node for node in graph.nodes if node.op == "call_function"]
        for node in calls:
            if stem in str(node.target):
                return node
    return next((node for node in graphs[-1].nodes if node.name == name), None)


def _place_of(node: Any) -> str:
    """Return the layer and the line of a node, as far as they are known."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0].removeprefix("module").strip(".") if stack else ""
    trace = node.meta.get("stack_trace") or ""
    frames = [(m[1], int(m[2])) for m in _TRACED.finditer(trace) if _is_users(m[1])]
    return (f" in the layer {path}" if path else "") + (_shown(*frames[-1]) if frames else "")


def _is_users(filename: str) -> bool:
    if filename.startswith(("<", _OURS)):
        return False
    _, installed, package = filename.rpartition("site-packages/")
    if installed:
        return package.partition("/")[0] not in _EXPORTERS
    return not filename.startswith(_STANDARD)


def _shown(filename: str, line: int) -> str:
    code = linecache.getline(filename, line).strip()
    return f" ({Path(filename).name}, line {line}{': ' + code if code else ''})"
