"""Reasons why PyTorch could not export a module: the operator, and the line that asks for it."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_NOBODYS: Final = ("torch", "onnxscript", "onnx_ir", "keras", "converters", "functools", "optree")
"""Packages whose lines a user cannot change."""

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
            f"its code fixes the number of rows{place}; use x.shape[0] or -1 in the place of a "
            "number, or give one sample and batched=False"
        )
    return f"{_first_line(text) or kind}{place}"


def onnx_problem(error: Exception, program: Any) -> str:
    """Return the operator that has no ONNX form, and the line of the module that asks for it.

    Args:
        error: of the exporter.
        program: the traced module.
    """
    messages = [str(each) for each in _chain(error)]
    operators = [match[1] for message in messages for match in _OPERATOR.finditer(message)]
    nodes = [match[1] for message in messages for match in _NODE.finditer(message)]
    if not operators:
        return _first_line(messages[-1]) or type(error).__name__
    return f"operator {operators[-1]}{_line_of_node(program, nodes[-1] if nodes else '')}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:300]


def _line_of(error: Exception) -> str:
    frames = [
        (frame.filename, frame.lineno or 0)
        for each in _chain(error)
        for frame in traceback.extract_tb(each.__traceback__)
        if _is_users(frame.filename)
    ]
    return _shown(*frames[-1]) if frames else ""


def _line_of_node(program: Any, name: str) -> str:
    """Return the module's line behind a node; operators are taken apart before they get there."""
    try:
        graph = program.run_decompositions().graph
    except Exception:  # without a line the operator is named all the same
        graph = program.graph
    for node in graph.nodes:
        if node.name == name:
            trace = node.meta.get("stack_trace") or ""
            frames = [(m[1], int(m[2])) for m in _TRACED.finditer(trace) if _is_users(m[1])]
            return _shown(*frames[-1]) if frames else ""
    return ""


def _is_users(filename: str) -> bool:
    return not filename.startswith("<") and not set(_NOBODYS) & set(Path(filename).parts)


def _shown(filename: str, line: int) -> str:
    code = linecache.getline(filename, line).strip()
    return f" ({Path(filename).name}, line {line}{': ' + code if code else ''})"
