"""``edge-hub export``: evidence for auditors, figures for MLflow, artifacts for registries."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, plural
from cloud_hub.cli.shared.registration import RELEASE, command, group

Out = Annotated[Path, typer.Argument(metavar="OUT", help="File to write, a .zip.")]
ArchiveFile = Annotated[
    Path, typer.Argument(metavar="ARCHIVE", help="File of edge-hub export compliance.")
]
RootFile = Annotated[
    Path,
    typer.Option("--root", metavar="FILE", help="Public root.json that you trust; asks no hub."),
]
Mlflow = Annotated[
    str, typer.Option("--mlflow", metavar="URL", help="Tracking server that gets them.")
]
ExperimentName = Annotated[
    str | None,
    typer.Option("--experiment", metavar="NAME", help="Of MLflow; default: the model's name."),
]

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE", help="HOST/REPOSITORY:TAG of a registry, or oci:FOLDER:TAG here."
    ),
]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="Speak to the registry without TLS.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``export``."""
    text = "A version for other tools: evidence, figures for MLflow, an artifact of a registry."
    actions = group(app, "export", text, panel=RELEASE)
    compliance = "edge-hub export compliance digits 1.1 digits-1.1.zip"
    command(actions, "compliance", example=compliance)(_compliance)
    verify = "edge-hub export verify digits-1.1.zip --root root.json"
    command(actions, "verify", example=verify)(_verify)
    metrics = "edge-hub export metrics digits@champion --mlflow http://mlflow:5000"
    command(actions, "metrics", example=metrics)(_metrics)
    oci = "edge-hub export oci digits@champion registry.example/vision/digits:1.1"
    command(actions, "oci", example=oci)(_oci)


def _compliance(
    hub: HubAddress, model: types.Model, version: types.ModelVersion, out: Out
) -> Result:
    """Write all evidence of a version as one signed archive."""
    client = hub.client(timeout=600.0)
    length = client.save(f"models/{model}/versions/{version}/compliance", out)
    done = {"wrote": str(out), "bytes": length, "model": model, "version": version}
    return Result(
        done,
        lambda d: (
            f"wrote {d['wrote']} ({d['bytes']:,} bytes); check it with edge-hub export verify "
            f"{d['wrote']} --root root.json"
        ),
    )


def _verify(archive: ArchiveFile, root: RootFile) -> Result:
    """Check an archive with nothing but a public root; exit status 1 if it proves nothing."""
    from cloud_hub.compliance.verifying import verified

    found = dataclasses.asdict(verified(archive.read_bytes(), root.read_bytes()))
    return Result(found, _verified_text)


def _verified_text(found: dict[str, Any]) -> str:
    lines = [
        f"{found['model']} {found['version']}: {plural(len(found['files']), 'file')} as hub "
        f"{found['hub']} signed them on {found['made_at']} for {found['made_by']}",
        f"  the publisher signed the release: manifest {found['manifest']}",
        *(f"  {limit}" for limit in found["limits"]),
    ]
    return "\n".join(lines)


def _metrics(
    hub: HubAddress,
    model: types.Model,
    version: types.ModelVersion,
    mlflow: Mlflow,
    experiment: ExperimentName = None,
) -> Result:
    """Log the metrics and the certified figures of a version as a run of MLflow."""
    from cloud_hub.client.mlflow import MlflowServer, figures_of

    report = hub.client().get(f"models/{model}/versions/{version}")
    figures = figures_of(report)
    run = MlflowServer(mlflow).log(experiment or model, figures)
    done = {"run": run, "model": model, "version": figures.version, "metrics": figures.metrics}
    return Result(
        done,
        lambda d: (
            f"{d['model']} {d['version']}: {plural(len(d['metrics']), 'metric')} in run {d['run']}"
        ),
    )


def _oci(
    hub: HubAddress,
    model: types.Model,
    version: types.ModelVersion,
    reference: Reference,
    plain_http: PlainHttp = False,
) -> Result:
    """Push a version to a registry of artifacts, with the rights that you have there."""
    from cloud_hub.client.exported_release import export_release

    client = hub.client(timeout=600.0)
    done = export_release(client, model, version, reference, plain_http=plain_http)
    return Result(
        dataclasses.asdict(done),
        lambda d: (
            f"{d['model']} {d['version']} is {d['reference']}, {d['digest']}: {d['sent']:,} bytes "
            f"sent, {d['there']:,} were there"
        ),
    )
