"""What a path of another tool is, and the model in it."""

from __future__ import annotations

from pathlib import Path

from converters.errors import ConversionError
from converters.importing.hugging_face import CONFIG, from_snapshot
from converters.importing.imported import ImportedModel
from converters.importing.mlflow_folder import from_model_folder, from_registry, from_run
from converters.importing.mlflow_model import MLMODEL


def open_import(
    path: Path, *, run: str | None = None, registered: str | None = None, trust: bool = False
) -> ImportedModel:
    """Return the model of a folder of MLflow or Hugging Face.

    Args:
        path: a folder with ``MLmodel``, an ``mlruns`` folder, or a snapshot with ``config.json``.
        run: id of a run of an ``mlruns`` folder.
        registered: model of its registry: ``NAME``, ``NAME/VERSION``, ``NAME@ALIAS``, and the same
            after ``models:/``.
        trust: loading a pickle runs code that it contains, and that is wanted.

    Raises:
        ConversionError: it is none of these, or has nothing that can be converted; says what is
            missing.
    """
    if not path.is_dir():
        raise ConversionError(f"{path}: expected a folder of MLflow or Hugging Face")
    if run is not None and registered is not None:
        raise ConversionError("say which: --run or --model, not both")
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


def _divided(text: str) -> tuple[str, str]:
    if "@" in text:
        name, _, alias = text.partition("@")
        return name, f"@{alias}"
    name, _, version = text.partition("/")
    return name, version or "latest"
