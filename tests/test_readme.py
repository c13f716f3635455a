"""The README's Python blocks run, in order, in one namespace; what is not run says why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- not run: (?P<why>.+?) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str | None]]:
    text = (ROOT / "README.md").read_text()
    return [(match["code"], match["why"]) for match in BLOCK.finditer(text)]


def test_the_python_blocks_of_the_readme_run(tmp_path: Path) -> None:
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


def test_links_and_files_that_the_readme_names_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
