"""``python -m tests.campaigns.random_pipelines``: so many seeds, and what became of each."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.campaigns.random_pipelines.trial import Result, trial

MOST_REFUSED = 0.12


def main(argv: Sequence[str] | None = None) -> int:
    """Try the seeds; 0 if none is silently different, none foreign, and few refused."""
    parser = argparse.ArgumentParser(prog="random_pipelines", description=__doc__)
    parser.add_argument("--seeds", type=int, default=400, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--only", type=int, nargs="*", help="these alone")
    parser.add_argument("--out", type=Path, help="one line of JSON a seed")
    arguments = parser.parse_args(argv)
    chosen = arguments.only or range(arguments.first, arguments.first + arguments.seeds)
    results = []
    for seed in chosen:
        result = trial(seed)
        results.append(result)
        if arguments.out:
            with arguments.out.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
        if result.verdict != "in parity" or arguments.only:
            print(f"seed {seed}: {result.verdict}: {result.name}: {result.note}", file=sys.stderr)
    print(f"seeds {chosen}: {summary(results)}")
    return int(failed(results))


def summary(results: Sequence[Result]) -> str:
    """Return how many seeds came to each verdict."""
    counts = Counter(result.verdict for result in results)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())


def failed(results: Sequence[Result]) -> bool:
    """Return True if an answer was wrong, an error foreign, or too much was refused."""
    counts = Counter(result.verdict for result in results)
    wrong = counts["silently different"] + counts["foreign exception"]
    return bool(wrong) or counts["refused"] > MOST_REFUSED * len(results)


if __name__ == "__main__":
    sys.exit(main())
