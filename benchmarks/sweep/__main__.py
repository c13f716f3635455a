"""``python -m benchmarks.sweep``: every estimator of scikit-learn, and the table in the docs.

Each runs in a process of its own that is ended after ``--seconds``. What is known is kept in
``--state``, one file an estimator, so that an interrupted sweep goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.sweep.table import to_markdown
from benchmarks.sweep.trial import Verdict

ROOT: Final = Path(__file__).parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Sweep; 1 if a release was silently wrong."""
    arguments = _parser().parse_args(argv)
    _preload()
    from benchmarks.sweep.cases import names

    arguments.state.mkdir(parents=True, exist_ok=True)
    chosen = arguments.only or names()
    verdicts = []
    for number, name in enumerate(chosen, 1):
        verdict = _verdict(arguments.state / f"{name}.json", name, arguments.seconds)
        verdicts.append(verdict)
        text = f"plain {verdict.plain}, ours {verdict.ours} {verdict.note[:100]}"
        print(f"{number}/{len(chosen)} {name}: {text}", file=sys.stderr, flush=True)
    if not arguments.only:
        arguments.out.write_text(to_markdown(verdicts), encoding="utf-8")
        print(f"wrote {arguments.out}")
    wrong = [verdict.name for verdict in verdicts if verdict.ours == "WRONG"]
    print(f"silently different: {wrong}" if wrong else "none is silently different")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of estimators; the table is not written")
    parser.add_argument("--state", type=Path, default=ROOT / ".sweep", help="what is known already")
    parser.add_argument("--seconds", type=float, default=90.0, help="for one estimator")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "ESTIMATORS.md")
    return parser


def _preload() -> None:
    """Load what every child needs once, before they are forked."""
    import skl2onnx  # noqa: F401
    from sklearn.experimental import (  # noqa: F401
        enable_halving_search_cv,
        enable_iterative_imputer,
    )

    from benchmarks.sweep import trial  # noqa: F401


def _verdict(file: Path, name: str, seconds: float) -> Verdict:
    """Return the verdict in ``file``, or else of a trial in a process of its own."""
    if not file.exists():
        child = multiprocessing.get_context("fork").Process(target=_write, args=(file, name))
        child.start()
        child.join(seconds)
        if child.is_alive():
            child.kill()
            child.join()
    if not file.exists():
        return Verdict(name, "not converted", "refused", "", f"took over {seconds:.0f} s")
    return Verdict(**json.loads(file.read_text(encoding="utf-8")))


def _write(file: Path, name: str) -> None:
    from benchmarks.sweep.trial import trial

    def keep(verdict: Verdict) -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
        partial.replace(file)

    try:
        verdict = trial(name, keep)
    except Exception as error:
        note = f"cannot be tried here: {type(error).__name__}: {error}"[:300]
        verdict = Verdict(name, "not converted", "refused", note, note)
    keep(verdict)


if __name__ == "__main__":
    sys.exit(main())
