"""Runs and registered models of an MLflow tracking server, by its REST API.

The server keeps its runs where it likes (SQLite is what MLflow begins with today); what is asked is
the same. Files come through the server, as it passes them on unless it was started with
``--no-serve-artifacts``; what a server of this very machine has in a folder is read there.

Nothing of MLflow is needed, and what a server says is never part of a path unchecked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from converters.errors import ConversionError
from converters.importing.imported import ImportedModel, numbers, texts
from converters.importing.mlflow_folder import check_run, from_model_folder
from converters.importing.mlflow_model import MLMODEL, within
from edge_sdk.local_server.http_access import is_loopback

if TYPE_CHECKING:
    import requests

SECONDS: Final = (10.0, 60.0)
"""To connect, and between two pieces of an answer."""

MOST_FILES: Final = 1_000
MOST_BYTES: Final = 16 << 30
_ANSWER_BYTES: Final = 32 << 20
_CHUNK: Final = 1 << 20
_PASSED_ON: Final = "mlflow-artifacts"
"""Scheme of what the server itself hands out."""


class TrackingServer:
    """A server of MLflow. Its credentials are those of MLflow's own client, from the environment:
    ``MLFLOW_TRACKING_TOKEN``, or ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``.

    Args:
        url: of the server, ``http`` or ``https``.
    """

    def __init__(self, url: str) -> None:
        import requests

        self.url = url.rstrip("/")
        self._session = requests.Session()
        if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
            self._session.headers["Authorization"] = f"Bearer {token}"
        elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
            self._session.auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def imported_run(self, run: str, place: Path, *, trust: bool) -> ImportedModel:
        """Return the model that a run logged.

        Args:
            run: its id.
            place: empty folder for its files, which the model is read from later on.
            trust: loading a pickle runs code that it contains, and that is wanted.

        Raises:
            ConversionError: there is no such run, or it logged no model, or several.
        """
        found = self._run(check_run(run))
        with self._fields():
            logged = [*self._models_of(found), *self._models_within(found["info"]["artifact_uri"])]
        if len(logged) != 1:
            raise ConversionError(
                f"{self.url}: expected one model of run {run}, got {len(logged)}; register the one "
                "that is meant, and import it with --model NAME/VERSION"
            )
        imported = self._fetched(logged[0], place, trust=trust)
        more, reported = _said(found)
        origin = {**more, **imported.origin, "mlflow.run": run}
        return ImportedModel(imported.model, f"MLflow, run {run}", origin, reported)

    def imported_version(
        self, name: str, version: str, place: Path, *, trust: bool
    ) -> ImportedModel:
        """Return a version of a registered model.

        Args:
            name: of the registered model.
            version: its number, ``@ALIAS``, or ``latest``.
            place: empty folder for its files, which the model is read from later on.
            trust: as for :meth:`imported_run`.

        Raises:
            ConversionError: there is none.
        """
        with self._fields():
            found = self._version(name, version)
            number = str(found["version"])
        asked = {"name": name, "version": number}
        uri = str(self._get("model-versions/get-download-uri", asked).get("artifact_uri", ""))
        imported = self._fetched(uri, place, trust=trust)
        more: dict[str, str] = {}
        reported: dict[str, float] = {}
        if run := str(found.get("run_id") or ""):
            more, reported = _said(self._run(check_run(run)))
        tags = texts("mlflow.tag.", _pairs(found.get("tags")))
        named = {"mlflow.model": name, "mlflow.version": number}
        origin = {**more, **imported.origin, **tags, **named}
        said = f"MLflow, {name} version {number}"
        return ImportedModel(imported.model, said, origin, reported)

    def _version(self, name: str, version: str) -> Mapping[str, Any]:
        """Return what the registry says of a version; raises ConversionError."""
        if version.startswith("@"):
            asked = {"name": name, "alias": version[1:]}
            return self._part("registered-models/alias", asked, "model_version")
        if version != "latest":
            asked = {"name": name, "version": version}
            return self._part("model-versions/get", asked, "model_version")
        if "'" in name:
            raise ConversionError(f"model: expected a name without a quote, got {name!r:.80}")
        newest = {
            "filter": f"name = '{name}'", "order_by": "version_number DESC", "max_results": "1",
        }  # fmt: skip
        versions = self._get("model-versions/search", newest).get("model_versions")
        if not versions:
            raise ConversionError(f"{self.url}: no registered model {name!r:.80}")
        return dict(versions[0])

    def _run(self, run: str) -> Mapping[str, Any]:
        found = self._part("runs/get", {"run_id": run}, "run")
        if not isinstance(found.get("info"), dict):
            raise ConversionError(f"{self.url}: expected a run of MLflow, got something else")
        return found

    def _models_of(self, run: Mapping[str, Any]) -> list[str]:
        """Return where MLflow 3 keeps the models of a run; an older server has none such."""
        info = run["info"]
        asked = {
            "experiment_ids": [info["experiment_id"]],
            "filter": f"source_run_id = '{info['run_id']}'",
        }
        answer = self._answer("POST", "mlflow/logged-models/search", json=asked, missing=True)
        models = (answer or {}).get("models", [])
        return [str(each["info"]["artifact_uri"]) for each in models]

    def _models_within(self, uri: str) -> list[str]:
        """Return the folders with a model among the artifacts of a run."""
        return [
            f"{uri}/{name.rpartition('/')[0]}".rstrip("/")
            for name in self._names(uri)
            if name.rpartition("/")[2] == MLMODEL
        ]

    def _fetched(self, uri: str, place: Path, *, trust: bool) -> ImportedModel:
        """Return the model of a folder of artifacts, whose files lie in ``place`` afterwards."""
        if (here := self._on_this_machine(uri)) is not None:
            return from_model_folder(here, trust=trust)
        left = MOST_BYTES
        with self._fields():
            for name in self._names(uri):
                left -= self._download(uri, name, within(place, name), left)
        imported = from_model_folder(place, trust=trust)
        origin = {k: v for k, v in imported.origin.items() if k != "mlflow.path"}
        return ImportedModel(imported.model, imported.source, origin, imported.reported)

    def _names(self, uri: str) -> list[str]:
        """Return the paths of the files below an address of artifacts; raises ConversionError."""
        if (here := self._on_this_machine(uri)) is not None:
            return sorted(p.relative_to(here).as_posix() for p in here.rglob("*") if p.is_file())
        base, folders = self._place(uri), [""]
        names: list[str] = []
        while folders:
            folder = folders.pop()
            path = f"{base}/{folder}".rstrip("/")
            answer = self._answer("GET", "mlflow-artifacts/artifacts", params={"path": path})
            for each in (answer or {}).get("files", []):
                name = f"{folder}/{each['path']}".lstrip("/")
                (folders if each.get("is_dir") else names).append(name)
            if len(names) + len(folders) > MOST_FILES:
                raise ConversionError(f"{uri}: expected at most {MOST_FILES} files")
        return sorted(names)

    def _download(self, uri: str, name: str, file: Path, most: int) -> int:
        """Write a file of artifacts; return its bytes."""
        path = quote(f"{self._place(uri)}/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._foreign():
            url = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
            with self._session.get(url, stream=True, timeout=SECONDS) as response:
                self._check(response)
                with file.open("wb") as target:
                    for piece in response.iter_content(_CHUNK):
                        target.write(piece)
                        if target.tell() > most:
                            raise ConversionError(f"{uri}: is larger than {MOST_BYTES} bytes")
                    return target.tell()

    def _on_this_machine(self, uri: str) -> Path | None:
        """Return the folder of an address, where server and folder are on this machine."""
        parts = urlsplit(uri)
        # A server elsewhere names no folder of ours.
        is_here = is_loopback(urlsplit(self.url).hostname or "")
        if not is_here or parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
            return None
        folder = Path(unquote(parts.path))
        return folder if folder.is_dir() else None

    def _place(self, uri: str) -> str:
        """Return the path that the server passes files on from; raises ConversionError."""
        parts = urlsplit(uri)
        if parts.scheme != _PASSED_ON:
            raise ConversionError(
                f"{self.url}: keeps the model at {uri:.200} and does not pass it on; download it "
                "(mlflow artifacts download), and import that folder"
            )
        return unquote(parts.path).strip("/")

    def _part(self, path: str, asked: Mapping[str, str], name: str) -> Mapping[str, Any]:
        part = self._get(path, asked).get(name)
        if not isinstance(part, dict):
            raise ConversionError(f"{self.url}: expected an answer of MLflow with {name}")
        return part

    def _get(self, path: str, asked: Mapping[str, str]) -> Mapping[str, Any]:
        return self._answer("GET", f"mlflow/{path}", params=asked) or {}

    def _answer(
        self, method: str, path: str, *, missing: bool = False, **more: Any
    ) -> Mapping[str, Any] | None:
        """Return the JSON of an answer, ``None`` where that is missing and may be."""
        with self._foreign():
            url = f"{self.url}/api/2.0/{path}"
            with self._session.request(
                method, url, stream=True, timeout=SECONDS, **more
            ) as response:
                if missing and response.status_code == 404:
                    return None
                self._check(response)
                raw = b"".join(_bounded(response))
                answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise ConversionError(f"{self.url}: expected an answer of MLflow, got other JSON")
        return answer

    def _check(self, response: requests.Response) -> None:
        if not response.ok:
            text = response.raw.read(2_000, decode_content=True).decode(errors="replace")
            raise ConversionError(
                f"{self.url}: MLflow answered {response.status_code}; {_reason(text):.300}"
            )

    @contextmanager
    def _fields(self) -> Iterator[None]:
        """Have what an answer lacks be an error of ours."""
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise ConversionError(
                f"{self.url}: expected an answer of MLflow, got other fields; {error!r:.80}"
            ) from error

    @contextmanager
    def _foreign(self) -> Iterator[None]:
        """Have errors of the network, and of answers that are none of MLflow, be ours."""
        import requests

        try:
            yield
        except (requests.RequestException, ValueError, RecursionError) as error:
            raise ConversionError(
                f"{self.url}: expected a tracking server of MLflow; {type(error).__name__}: "
                f"{error!s:.200}"
            ) from error


def _bounded(response: requests.Response) -> Iterator[bytes]:
    left = _ANSWER_BYTES
    for piece in response.iter_content(_CHUNK):
        left -= len(piece)
        if left < 0:
            raise ValueError("the answer is too long")
        yield piece


def _reason(text: str) -> str:
    """Return what an error of MLflow says, else its text."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _said(run: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, float]]:
    """Return parameters and tags, and the newest value of each metric."""
    data = run.get("data")
    data = data if isinstance(data, dict) else {}
    tags = {k: v for k, v in _pairs(data.get("tags")).items() if not k.startswith("mlflow.")}
    origin = {**texts("mlflow.param.", _pairs(data.get("params"))), **texts("mlflow.tag.", tags)}
    return origin, numbers("mlflow.", _pairs(data.get("metrics")))


def _pairs(listed: Any) -> dict[str, Any]:
    """Return a list of MLflow's keys and values by key."""
    pairs = listed if isinstance(listed, list) else []
    return {str(each["key"]): each.get("value") for each in pairs if _is_pair(each)}


def _is_pair(each: Any) -> bool:
    return isinstance(each, dict) and "key" in each
