"""What docs/EXPERIMENTS.md declares can be declared."""

from __future__ import annotations

import re
from pathlib import Path

from cloud_hub.experiments.verdict.spec import parse_experiment

DOC = (Path(__file__).parents[3] / "docs" / "EXPERIMENTS.md").read_text()


def test_every_declaration_of_the_document_is_read() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)
    strategies = [parse_experiment(block, "docs/EXPERIMENTS.md").strategy for block in blocks]
    assert set(strategies) >= {"canary", "ab", "interleave"}


def test_links_of_the_document_are_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", DOC):
        assert (Path(__file__).parents[3] / "docs" / link).exists(), link
