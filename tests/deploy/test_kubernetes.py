"""The manifests for Kubernetes: valid, closed, and of the same names as the hub's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate
from typer.testing import CliRunner

from tests.structure import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name != "kustomization.yaml"]
SETTINGS = (ROOT / "docs" / "SETTINGS.md").read_text()


def resources() -> list[dict[str, Any]]:
    return [each for file in FILES for each in yaml.safe_load_all(file.read_text())]


def pods() -> list[dict[str, Any]]:
    kinds = ("Deployment", "Job")
    return [each["spec"]["template"] for each in resources() if each["kind"] in kinds]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_manifest_is_what_its_api_knows(file: Path) -> None:
    for resource in yaml.safe_load_all(file.read_text()):
        validate(resource, "1.33", strict=True)


@pytest.mark.parametrize("folder", ["hub", "ray"])
def test_a_kustomization_names_every_file_beside_it(folder: str) -> None:
    whole = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    beside = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in whole["resources"] if name.endswith(".yaml")} == beside


def test_no_container_has_rights_or_writes_its_root() -> None:
    """What the namespace's label ``restricted`` asks of every pod, which no schema compares."""
    for pod in pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"], container["name"]


def test_what_selects_pods_finds_some() -> None:
    labels = [pod["metadata"]["labels"] for pod in pods()]

    def found(selector: dict[str, str]) -> bool:
        return any(selector.items() <= each.items() for each in labels)

    for resource in resources():
        spec = resource.get("spec", {})
        if resource["kind"] == "Service":
            assert found(spec["selector"]), resource["metadata"]["name"]
        elif resource["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            selector = spec.get("podSelector", spec.get("selector", {}))
            assert found(selector.get("matchLabels", {})), resource["metadata"]["name"]
    names = {r["metadata"]["name"] for r in resources() if r["kind"] == "Deployment"}
    (scaler,) = (r for r in resources() if r["kind"] == "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] in names


def test_every_variable_is_a_setting_and_every_command_is_one_of_the_hub() -> None:
    from cloud_hub.cli.app import create_app

    app = create_app()

    variables = {name for r in resources() if r["kind"] == "ConfigMap" for name in r["data"]}
    for pod in pods():
        for container in pod["spec"]["containers"]:
            variables |= {each["name"] for each in container.get("env", [])}
            if container["name"] == "hub":
                command = [*container["args"][:-1], "--help"]
                assert CliRunner().invoke(app, command).exit_code == 0, command
    ours = {name for name in variables if not name.startswith("RAY_")}
    assert {name for name in ours if f"`{name}`" not in SETTINGS} == set()


def test_probes_ask_what_the_hub_answers() -> None:
    operations = (ROOT / "docs" / "OPERATIONS.md").read_text()
    for pod in pods():
        for container in pod["spec"]["containers"]:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                if kind in container:
                    path = container[kind]["httpGet"]["path"]
                    assert re.search(rf"`?{re.escape(path)}`", operations), path
