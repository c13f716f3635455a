"""``docs/ESTIMATORS.md``: what became of every estimator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.sweep.trial import Verdict

ABOUT = """# Which estimators can be converted

Written by `python -m benchmarks.sweep`: every estimator that scikit-learn lists, with default
parameters, fitted on data that suit it. *Plain skl2onnx* is `to_onnx` with its defaults, run by
onnxruntime. *Ours* is `converters.convert`: the release is made on half of the held-out rows and
judged through the device's runtime on the other half. In parity means no other label and nothing
further off than a thousandth of the spread."""


def to_markdown(verdicts: Sequence[Verdict]) -> str:
    """The counts, then one row an estimator."""
    plain, ours = Counter(v.plain for v in verdicts), Counter(v.ours for v in verdicts)
    lines = [
        ABOUT,
        "",
        "| | in parity | differs silently | refused, does not run or is not converted |",
        "|---|---:|---:|---:|",
        f"| plain skl2onnx | {plain['in parity']} | {plain['differs']} | "
        f"{plain['does not run'] + plain['not converted']} |",
        f"| ours | {ours['in parity']} | {ours['WRONG']} | {ours['refused']} |",
        "",
        "| estimator | plain skl2onnx | ours | why |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {v.name} | {v.plain}{_note(v.plain_note, 60)} | {v.ours} | {_cell(v.note, 300)} |"
        for v in verdicts
    ]
    return "\n".join(lines) + "\n"


def _note(text: str, length: int) -> str:
    return f": {_cell(text, length)}" if text.endswith("%") or "off by" in text else ""


def _cell(text: str, length: int) -> str:
    return text.replace("|", "\\|")[:length]
