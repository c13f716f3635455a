"""``edge bench``: measures, or compares two runs; the exit code tells if budgets are met."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Final

from edge_sdk.bench import comparison, result
from edge_sdk.bench.budgets import breaches
from edge_sdk.bench.harness import FULL, QUICK
from edge_sdk.bench.markdown import to_markdown
from edge_sdk.bench.measuring import ENERGY, PARTS, measure
from edge_sdk.bench.plot import check_kind, write_plot
from edge_sdk.errors import BenchError

STDOUT: Final = Path("-")
"""The file of ``--json`` without one: the figures are printed instead of the tables."""


def run_bench(arguments: Namespace) -> int:
    """Run the command; return 1 if a budget is exceeded or cannot be judged."""
    if arguments.compare:
        return _compare(arguments)
    if arguments.target is None:
        raise BenchError("expected a release folder or an .onnx file, or --compare A.json B.json")
    _check_outputs(arguments)
    effort = QUICK if arguments.quick else FULL
    parts = ENERGY if arguments.energy else PARTS
    found = measure(arguments.target, effort, rows=arguments.rows, tell=_tell, parts=parts)
    text = to_markdown(found)
    if arguments.json == STDOUT:
        print(found.to_json().decode(), end="")
    else:
        print(text)
    if arguments.json not in (None, STDOUT):
        found.save(arguments.json)
    if arguments.markdown:
        result.save(arguments.markdown, f"{text}\n".encode())
    if arguments.plot:
        write_plot(found, arguments.plot)
    exceeded = breaches(found, arguments.max_p99_ms, arguments.max_rss_mb)
    for line in exceeded:
        print(f"edge bench: {line}", file=sys.stderr)
    # Who asks for joules alone is told by the status that there are none.
    none = arguments.energy and not any("energy of" in name for name in found.findings.facts)
    return 1 if exceeded or none else 0


def _compare(arguments: Namespace) -> int:
    if arguments.target or any(_outputs(arguments)):
        raise BenchError("--compare: expected two runs and nothing else; it prints ratios")
    before, after = map(result.load, arguments.compare)
    compared = comparison.compare(before, after)
    if arguments.json == STDOUT:
        ratios = [{**vars(row), "ratio": row.ratio} for row in compared.ratios]
        print(json.dumps({**vars(compared), "ratios": ratios}, indent=2))
    else:
        print(comparison.to_markdown(compared))
    return 0


def _outputs(arguments: Namespace) -> tuple[Path | None, ...]:
    file = None if arguments.json == STDOUT else arguments.json
    return file, arguments.markdown, arguments.plot


def _check_outputs(arguments: Namespace) -> None:
    """Raise :class:`BenchError` for outputs that cannot be written, before minutes of measuring."""
    for path in _outputs(arguments):
        if path is not None:
            result.check_savable(path)
    if arguments.plot:
        check_kind(arguments.plot)


def _tell(part: str) -> None:
    if sys.stderr is not None and sys.stderr.isatty():  # in a log it would be noise
        print(f"measuring {part}", file=sys.stderr)
