"""Runs and registered models of a local ``mlruns`` folder, by its layout on disk.

::

    mlruns/EXPERIMENT/RUN/meta.yaml, params/NAME, tags/NAME, metrics/NAME, artifacts/…
    mlruns/EXPERIMENT/models/m-ID/meta.yaml, artifacts/MLmodel       since MLflow 3
    mlruns/models/NAME/version-N/meta.yaml                           the registry
    mlruns/models/NAME/aliases/ALIAS

Nothing of MLflow is needed to read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from converters.errors import ConversionError
from converters.importing.imported import ImportedModel, numbers, texts
from converters.importing.mlflow_model import MLMODEL, model_of, read_yaml

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
TEXT: Final = 64 << 10
FROM_DATABASE: Final = (
    "start mlflow server --backend-store-uri sqlite:///mlflow.db, and import from its address"
)


def from_model_folder(folder: Path, *, trust: bool) -> ImportedModel:
    """Return the model of a folder with a file ``MLmodel``; its run, if that lies around it.

    Args:
        folder: as ``mlflow.….save_model`` or the artifacts of a run have it.
        trust: loading a pickle runs code that it contains, and that is wanted.

    Raises:
        ConversionError: it cannot be converted.
    """
    model, words = model_of(folder, trust=trust)
    run = read_yaml(folder / MLMODEL).get("run_id")
    origin: dict[str, str] = {**words, "mlflow.path": folder.name}
    reported: dict[str, float] = {}
    found = None
    if isinstance(run, str) and _ID.fullmatch(run):
        origin["mlflow.run"] = run
        found = next((p for p in (_run_around(each, run) for each in folder.parents) if p), None)
    if found is not None:
        more, reported = _said(found)
        origin = {**more, **origin}
    return ImportedModel(model, f"MLflow, {folder}", origin, reported)


def from_run(mlruns: Path, run: str, *, trust: bool) -> ImportedModel:
    """Return the model that a run logged.

    Args:
        mlruns: the folder.
        run: its id.
        trust: as for :func:`from_model_folder`.

    Raises:
        ConversionError: there is no such run, or it logged no model, or several.
    """
    folder = _run_folder(mlruns, run)
    logged = [*_models_in(folder / "artifacts"), *_models_of_run(mlruns, run)]
    if len(logged) != 1:
        names = ", ".join(str(each) for each in logged[:5]) or "none"
        raise ConversionError(
            f"{mlruns}: expected one model of run {run}, got {names}; import the folder of the one"
        )
    imported = from_model_folder(logged[0], trust=trust)
    more, reported = _said(folder)
    origin = {**more, **imported.origin, "mlflow.run": run}
    return ImportedModel(imported.model, f"MLflow, run {run}", origin, reported)


def from_registry(mlruns: Path, name: str, version: str, *, trust: bool) -> ImportedModel:
    """Return a version of a registered model.

    Args:
        mlruns: the folder.
        name: of the registered model.
        version: its number, ``@ALIAS``, or ``latest``.
        trust: as for :func:`from_model_folder`.

    Raises:
        ConversionError: there is none.
    """
    place = mlruns / "models" / name
    if "/" in name or name in ("", ".", "..") or not place.is_dir():
        there = sorted(each.name for each in (mlruns / "models").glob("*") if each.is_dir())
        raise ConversionError(
            f"{mlruns}: no registered model {name!r:.80}; there are "
            f"{', '.join(there[:10]) or f'none. Where a database has them, {FROM_DATABASE}'}"
        )
    number = _number(place, version)
    meta = read_yaml(place / f"version-{number}" / "meta.yaml")
    imported = _of_version(mlruns, meta, trust=trust)
    tags = _files(place / f"version-{number}" / "tags")
    origin = {
        **imported.origin, **texts("mlflow.tag.", tags),
        "mlflow.model": name, "mlflow.version": str(number),
    }  # fmt: skip
    said = f"MLflow, {name} version {number}"
    return ImportedModel(imported.model, said, origin, imported.reported)


def _number(place: Path, version: str) -> int:
    numbers_ = sorted(
        int(each.name.removeprefix("version-"))
        for each in place.glob("version-*")
        if each.name.removeprefix("version-").isdecimal()
    )
    if version.startswith("@"):
        word = _files(place / "aliases").get(version[1:], "").strip()
    else:
        word = str(numbers_[-1]) if version == "latest" and numbers_ else version
    if not word.isdecimal() or int(word) not in numbers_:
        raise ConversionError(
            f"{place.name}: no version {version!r:.40}; there are {numbers_ or 'none'}"
        )
    return int(word)


def _of_version(mlruns: Path, meta: Mapping[str, Any], *, trust: bool) -> ImportedModel:
    """Return the model that a version of the registry points to."""
    for key in ("storage_location", "source"):
        text = str(meta.get(key) or "")
        if text.startswith("models:/"):
            for folder in mlruns.glob(f"*/models/{text.removeprefix('models:/')}/artifacts"):
                return from_model_folder(folder, trust=trust)
        elif text:
            path = Path(unquote(urlsplit(text).path))
            # A folder that was moved here from elsewhere keeps its place below mlruns.
            moved = mlruns.joinpath(*path.parts[-5:])
            for folder in (path, *_suffixes(mlruns, path), moved):
                if (folder / MLMODEL).is_file():
                    return from_model_folder(folder, trust=trust)
    run = str(meta.get("run_id") or "")
    if run:
        return from_run(mlruns, run, trust=trust)
    raise ConversionError(f"{mlruns}: the version's source {meta.get('source')!r:.200} is not here")


def _suffixes(mlruns: Path, path: Path) -> Iterator[Path]:
    for i, part in enumerate(path.parts):
        if part == "mlruns":
            yield mlruns.joinpath(*path.parts[i + 1 :])


def check_run(run: str) -> str:
    """Return the id of a run; raises ConversionError where it cannot be one."""
    if not _ID.fullmatch(run):
        raise ConversionError(f"run: expected the id of a run of MLflow, got {run!r:.80}")
    return run


def _run_folder(mlruns: Path, run: str) -> Path:
    check_run(run)
    for meta in sorted(mlruns.glob(f"*/{run}/meta.yaml")):
        return meta.parent
    raise ConversionError(
        f"{mlruns}: has no run {run}; where MLflow keeps runs in a database, only their files are "
        f"here: {FROM_DATABASE}"
    )


def _run_around(folder: Path, run: str) -> Path | None:
    for place in (folder / run, folder if folder.name == run else None):
        if place is not None and (place / "meta.yaml").is_file():
            return place
    return None


def _models_in(artifacts: Path) -> list[Path]:
    return [path.parent for path in sorted(artifacts.rglob(MLMODEL))]


def _models_of_run(mlruns: Path, run: str) -> list[Path]:
    """Return the models that MLflow 3 keeps beside the runs, of one run."""
    return [
        meta.parent / "artifacts"
        for meta in sorted(mlruns.glob("*/models/m-*/meta.yaml"))
        if read_yaml(meta).get("source_run_id") == run
    ]


def _said(run: Path) -> tuple[dict[str, str], dict[str, float]]:
    """Return parameters and tags, and the newest value of each metric."""
    tags = {k: v for k, v in _files(run / "tags").items() if not k.startswith("mlflow.")}
    origin = {**texts("mlflow.param.", _files(run / "params")), **texts("mlflow.tag.", tags)}
    reported = {name: _newest(text) for name, text in _files(run / "metrics").items()}
    return origin, numbers("mlflow.", {k: v for k, v in reported.items() if v is not None})


def _newest(text: str) -> float | None:
    """Return the value of the last step of a metric's file, as MLflow shows it.

    Args:
        text: lines of time, value and step, in any order; an old line has no step, and a newer one
            also names a dataset.
    """
    found = [entry for line in text.splitlines() if (entry := _entry(line.split())) is not None]
    return max(found)[-1] if found else None


def _entry(words: list[str]) -> tuple[int, int, float] | None:
    """Return step, time and value of a line, ``None`` where it is none."""
    try:
        return int(words[2]) if len(words) > 2 else 0, int(words[0]), float(words[1])
    except (IndexError, ValueError):
        return None


def _files(folder: Path) -> dict[str, str]:
    """Return the texts of a folder's files by their paths within it."""
    found = {}
    for path in sorted(folder.rglob("*"))[:1_000]:
        if path.is_file() and not path.is_symlink():
            with path.open(errors="replace") as file:
                found[path.relative_to(folder).as_posix()] = file.read(TEXT)
    return found
