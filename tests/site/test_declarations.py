"""What the pages declare in YAML and TOML is read as a hub reads it, without a complaint."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from cloud_hub.cli.app import create_app
from cloud_hub.cli.policy_files import with_calendars
from cloud_hub.cost.prices import FILE as PRICES
from cloud_hub.cost.prices import read_prices
from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.features.declaration import parse_set
from cloud_hub.people.oidc.configuration import OidcConfiguration
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.simulate.scenario import parse_scenario
from cloud_hub.text.yaml import read_yaml
from tests.structure import ROOT

Reader = Callable[[str, Path], Any]

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>yaml|toml|json)(?: .*?)?\n"
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def a_policy(text: str, folder: Path) -> object:
    return parse_policy(text)


def a_training(text: str, folder: Path) -> object:
    """The keys of a policy that trains, where it says no more than what the page is about."""
    entry = "" if "entry:" in text else "  entry: training:train\n"
    return parse_policy(f"{text}{entry}{SHARING}")


def a_calendar(text: str, folder: Path) -> object:
    (folder / "shop.ics").write_text(HOLIDAYS)
    file = folder / "policy.yaml"
    file.write_text(text)
    whole = f"{text}train: {{entry: 'training:train'}}\n{SHARING}"
    return parse_policy(with_calendars(whole, file))


def a_batch_job(text: str, folder: Path) -> object:
    """The keys of a job that stand in a block of their own."""
    source = '    source: {query: "SELECT 1", url_env: SHOP_DB}\n    entity: user_id\n'
    source += "    attributes: [region]\n    devices: true\n    every: 4h\n    valid: 8h\n"
    return parse_policy(f"batch:\n  hotels:\n{source}{text}")


def prices(text: str, folder: Path) -> object:
    (folder / PRICES).write_text(text)
    return read_prices(folder)


def settings(text: str, folder: Path) -> object:
    file = folder / "hub.toml"
    file.write_text(text)
    program = typer.main.get_command(create_app())
    serve = program.commands["serve"]  # type: ignore[attr-defined]
    return serve.make_context("serve", [str(folder), "--settings", str(file)])


READERS: Final[dict[str, list[Reader]]] = {
    "ALERTS.md": [a_policy],
    "BATCH.md": [a_policy, a_batch_job],
    "CALENDAR.md": [a_calendar],
    "COLD_START.md": [a_policy],
    "COST.md": [prices],
    "DATA.md": [a_training],
    "EXPERIMENTS.md": [lambda text, _: parse_experiment(text)] * 7,
    "FEATURES.md": [lambda text, _: parse_set(text)] * 2,
    "MONITORING.md": [a_policy] * 2,
    "PEOPLE.md": [lambda text, _: read_yaml(OidcConfiguration, text, "oidc.yaml"), a_policy],
    "POLICY.md": [a_policy],
    "RUNS.md": [a_training],
    "SETTINGS.md": [settings],
    "SIMULATE.md": [lambda text, _: parse_scenario(text)],
}  # fmt: skip


SHARING: Final = "sharing: {samples: true, per_window: 10}\n"
HOLIDAYS: Final = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//shop//EN
BEGIN:VEVENT
UID:1
SUMMARY:Closed
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
END:VEVENT
END:VCALENDAR
"""


def declarations(page: Path) -> list[tuple[str, str]]:
    """Return kind and text of each block of a page that does not say why it is not read."""
    found = BLOCK.finditer(page.read_text())
    return [(each["kind"], each["text"]) for each in found if each["why"] is None]


@pytest.mark.parametrize("page", READERS)
def test_every_declaration_of_a_page_is_taken(page: str, tmp_path: Path) -> None:
    blocks = declarations(ROOT / "docs" / page)
    assert len(blocks) == len(READERS[page])
    for (_, text), read in zip(blocks, READERS[page], strict=True):
        read(text, tmp_path)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_declaration_that_nothing_reads_says_why(page: Path) -> None:
    if page.name not in READERS:
        assert declarations(page) == []
    for each in BLOCK.finditer(page.read_text()):
        if each["kind"] == "yaml":
            yaml.safe_load(textwrap.dedent(each["text"]))


def test_json_of_a_page_is_json_or_says_why() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for kind, text in declarations(page):
            if kind == "json":
                json.loads(text)
