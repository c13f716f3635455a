"""Pages that are made from the code name all of it; links hold wherever a page is shown."""

from __future__ import annotations

import pytest

from cloud_hub.errors import HubFault
from converters.errors import ConversionError
from edge_sdk.errors import EdgeError
from handbook import commands, failures
from handbook.elsewhere import with_links_of_the_site
from tests.structure import ROOT


def test_every_error_has_advice_and_no_advice_is_of_an_error_that_is_gone() -> None:
    roots = (EdgeError, ConversionError, HubFault)
    names = {kind.__name__ for root in roots for kind, _ in failures.kinds(root)}
    assert names == set(failures.ADVICE)
    page = failures.page()
    assert all(f"`{name}`" in page for name in names)


def test_every_command_has_its_options_and_an_example() -> None:
    for page in (commands.edge(), commands.edge_convert(), commands.edge_hub()):
        sections = page.split("\n## ")[1:]
        assert len(sections) >= 3
        for section in sections:
            assert "| `" in section, section.splitlines()[0]
            assert "```console\nedge" in section, section.splitlines()[0]


def kind(path: str) -> str:
    there = ROOT / path
    return "folder" if there.is_dir() else "file" if there.is_file() else "gone"


@pytest.mark.parametrize(
    ("link", "page", "expected"),
    [
        ("[a](KEYS.md#set-up)", "DEVICES.md", "[a](KEYS.md#set-up)"),
        ("[a](docs/KEYS.md)", "project/ARCHITECTURE.md", "[a](../KEYS.md)"),
        ("[a](../benchmarks/BYTES.md)", "UPDATES.md", "[a](project/BYTES.md)"),
        ("[a](../../converters/README.md)", "guides/X.md", "[a](../reference/CONVERT.md)"),
        ("[a](../cloud_hub/data)", "DATA.md", "a"),
        ("[a](../LICENSE)", "DATA.md", "[a](source/LICENSE)"),
        ("[a](gone.md)", "DATA.md", "[a](gone.md)"),
        ("[a](https://x.y/z.md)", "DATA.md", "[a](https://x.y/z.md)"),
        ("```text\n[a](../LICENSE)\n```", "DATA.md", "```text\n[a](../LICENSE)\n```"),
    ],
)
def test_a_link_leads_where_it_leads_in_the_repository(link: str, page: str, expected: str) -> None:
    assert with_links_of_the_site(link, page, kind) == expected
