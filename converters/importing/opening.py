"""What a path of another tool is, and the model in it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from converters.errors import ConversionError
from converters.importing.hugging_face import CONFIG, from_snapshot
from converters.importing.imported import ImportedModel
from converters.importing.mlflow_folder import (
    FROM_DATABASE,
    from_model_folder,
    from_registry,
    from_run,
)
from converters.importing.mlflow_model import MLMODEL

SERVER: Final = ("http://", "https://")


def open_import(
    source: Path | str,
    *,
    run: str | None = None,
    registered: str | None = None,
    trust: bool = False,
    place: Path | None = None,
) -> ImportedModel:
    """Return the model of a folder of MLflow or Hugging Face, or of a server of MLflow.

    Args:
        source: a folder with ``MLmodel``, an ``mlruns`` folder, a snapshot with ``config.json``, or
            the URL of a tracking server.
        run: id of a run of an ``mlruns`` folder.
        registered: model of its registry: ``NAME``, ``NAME/VERSION``, ``NAME@ALIAS``, and the same
            after ``models:/``.
        trust: loading a pickle runs code that it contains, and that is wanted.
        place: empty folder for what comes from a server; the model is read from it later on.

    Raises:
        ConversionError: it is none of these, or has nothing that can be converted; says what is
            missing.
    """
    if run is not None and registered is not None:
        raise ConversionError("say which: --run or --model, not both")
    if str(source).startswith(SERVER):
        return _of_server(str(source), run, registered, trust, place)
    path = Path(source)
    if path.suffix == ".db" and path.is_file():
        raise ConversionError(f"{path}: is a database of MLflow; {FROM_DATABASE}")
    if not path.is_dir():
        raise ConversionError(f"{path}: expected a folder of MLflow or Hugging Face")
    if run is not None:
        return from_run(path, run, trust=trust)
    if registered is not None:
        name, version = _divided(registered.removeprefix("models:/"))
        return from_registry(path, name, version, trust=trust)
    if (path / MLMODEL).is_file():
        return from_model_folder(path, trust=trust)
    if (path / CONFIG).is_file():
        return from_snapshot(path)
    raise ConversionError(
        f"{path}: expected a folder with {MLMODEL} (MLflow) or {CONFIG} (Hugging Face), or an "
        "mlruns folder with --run ID or --model NAME/VERSION"
    )


def _of_server(
    url: str, run: str | None, registered: str | None, trust: bool, place: Path | None
) -> ImportedModel:
    from converters.importing.tracking_server import TrackingServer

    if place is None:
        raise ConversionError(f"{url}: expected a folder for what the server sends")
    server = TrackingServer(url)
    with contextlib.closing(server):
        if run is not None:
            return server.imported_run(run, place, trust=trust)
        if registered is not None:
            name, version = _divided(registered.removeprefix("models:/"))
            return server.imported_version(name, version, place, trust=trust)
    raise ConversionError(f"{url}: say which model: --run ID or --model NAME/VERSION")


def _divided(text: str) -> tuple[str, str]:
    if "@" in text:
        name, _, alias = text.partition("@")
        return name, f"@{alias}"
    name, _, version = text.partition("/")
    return name, version or "latest"
