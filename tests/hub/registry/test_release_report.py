"""What a hub tells of the variants of its releases: by HTTP, on the command line, as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub
from converters import Tolerances, convert
from edge_sdk.model.release import Release
from tests.converters import builders
from tests.edge.builders import make_release, variant_of
from tests.servers import HubProcess, running_hub

LOOSE = Tolerances(flips=0.2, probability=1.0, accuracy_drop=0.2)


@dataclass(frozen=True)
class Published:
    hub: HubProcess
    release: Release

    @property
    def place(self) -> list[str]:
        return ["--hub", self.hub.url, "--token", (self.hub.data / "admin.token").read_text()]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("variants")
    X, y = builders.data_of("scaler and MLP")
    release = convert(
        builders.model("scaler and MLP"), X, y, name="m", out=folder / "r", ship=["float32"],
        variants=["int8-storage"], tolerances=LOOSE, licence="Apache-2.0",
    )  # fmt: skip
    with running_hub(folder, tick=0) as hub:
        hub.admin.publish(release.folder, hub.key)
        yield Published(hub, release)


def test_versions_name_the_variants_with_precision_target_bytes_and_the_certificates_words(
    published: Published,
) -> None:
    (version,) = published.hub.admin.get("models/m/versions")
    assert version == published.hub.admin.get("models/m/versions/1.0")
    assert version["rare_day"] is None
    chosen, other = version["variants"]
    assert [chosen["name"], other["name"]] == [v.name for v in published.release.manifest.variants]
    for variant, own in zip(version["variants"], published.release.variants, strict=True):
        assert variant["bytes"] == own.model_path.stat().st_size
        assert (variant["target"], variant["precision"]) == ("any", "float32")
        assert variant["because"] == own.certificate().because
    certificate = published.release.certificate()
    assert version["not_chosen"] == dict(certificate.not_chosen)
    row = next(row for row in certificate.variants if row.name == chosen["name"])
    assert (chosen["score"], chosen["flips_bound"]) == (row.score, row.flips_bound)


def test_releases_list_has_a_row_for_every_variant(
    published: Published, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["releases", "list", "m", *published.place]) == 0
    shown = capsys.readouterr().out
    for own in published.release.variants:
        row = rf"^ *1\.0 +published +{own.variant.name} .* {own.model_path.stat().st_size:,} "
        assert re.search(row, shown, re.MULTILINE)


def test_releases_show_says_why_each_variant_is_there_and_why_others_are_not(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["releases", "show", "m", "1.0", *published.place]) == 0
    shown = capsys.readouterr().out
    certificate = published.release.certificate()
    assert f"is the choice: {certificate.because}" in shown
    for name, why in certificate.not_chosen.items():
        assert f"- {name}: {why}" in shown
    assert "licence Apache-2.0" in shown
    assert f"certified on {certificate.rows:,} check rows" in shown
    assert main(["releases", "show", "m", "1.0", "--json", *published.place]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "classification"


def test_the_page_has_the_variants_and_the_words(published: Published, tmp_path: Path) -> None:
    file = tmp_path / "m.html"
    words = ["releases", "show", "m", "1.0", "--html", str(file)]
    assert main([*words, *published.place]) == 0
    page = file.read_text()
    for own in published.release.variants:
        assert f"<td>{own.variant.name}</td>" in page
        assert f"{own.model_path.stat().st_size:,}" in page
    assert "Why these" in page
    assert "{{" not in page


def test_an_unknown_version_is_named_with_those_that_there_are(published: Published) -> None:
    with pytest.raises(HubFault, match=r"m 9\.0: not published; there are 1\.0"):
        published.hub.admin.get("models/m/versions/9.0")


def test_a_release_without_measurements_is_shown_without_figures(
    inner: Hub, tmp_path: Path
) -> None:
    gpu = variant_of("fp16", "CUDAExecutionProvider")
    inner.registry.publish(make_release(tmp_path, alternatives=[gpu]), actor="ci")
    chosen, other = inner.registry.report("demo", "1.0").variants
    assert (chosen.name, chosen.score, chosen.because) == ("float32", None, "")
    assert (other.provider, other.precision) == ("CUDAExecutionProvider", "float16")
