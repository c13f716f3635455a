"""The notebooks run from the first cell to the last, and are kept without what they answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.processes.ready import ready_commands
from tests.structure import ROOT
from tests.waiting import PATIENCE

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def opened(path: Path) -> Any:
    nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra [site]")
    return nbformat.read(path, as_version=4)


@pytest.mark.site
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra [site]")
    monkeypatch.setenv("PATH", f"{ready_commands()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = opened(path)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=PATIENCE, resources=where).execute()
    told = [o for cell in book.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    assert [output.text for output in told] == []


@pytest.mark.site
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_its_answers(path: Path) -> None:
    code = [cell for cell in opened(path).cells if cell.cell_type == "code"]
    assert len(code) >= 4
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
