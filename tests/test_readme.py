"""The README's Python runs, and the page's that goes on from it; what is not run says why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- not run: (?P<why>.+?) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)


PAGES = ("README.md", "docs/guides/OTHER_LANGUAGES.md")


def blocks() -> list[tuple[str, str | None]]:
    text = "\n".join((ROOT / page).read_text() for page in PAGES)
    return [(match["code"], match["why"]) for match in BLOCK.finditer(text)]


def test_the_python_of_the_readme_and_of_the_four_ways_in_runs_in_one_go(tmp_path: Path) -> None:
    runnable = [code for code, why in blocks() if why is None]
    assert runnable
    script = tmp_path / "readme.py"
    script.write_text("\n".join(runnable))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::DeprecationWarning",
    }
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def test_blocks_that_are_not_run_are_at_least_python() -> None:
    for code, _ in blocks():
        compile(code, "README.md", "exec")


def test_the_readme_is_one_screen_and_a_half() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    assert text.index("make demo") < text.index("make test") < text.index("```python")
