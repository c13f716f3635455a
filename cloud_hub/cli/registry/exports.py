"""``edge-hub export``: evidence for auditors, figures for MLflow."""

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


def add_commands(app: typer.Typer) -> None:
    """Add ``export``."""
    text = "Evidence of a version for auditors, and its figures for MLflow."
    actions = group(app, "export", text, panel=RELEASE)
    compliance = "edge-hub export compliance digits 1.1 digits-1.1.zip"
    command(actions, "compliance", example=compliance)(_compliance)
    verify = "edge-hub export verify digits-1.1.zip --root root.json"
    command(actions, "verify", example=verify)(_verify)
    metrics = "edge-hub export metrics digits@champion --mlflow http://mlflow:5000"
    command(actions, "metrics", example=metrics)(_metrics)


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
