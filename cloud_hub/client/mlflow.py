"""Metrics of a version as a run of an MLflow tracking server, by its REST API.

A version has one run in an experiment, found again by a tag with the digest of its manifest: who
exports it twice logs the same figures once more.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from cloud_hub.errors import HubFault, Invalid

TAG: Final = "edge.manifest"
TIMEOUT: Final = 30.0
AT_ONCE: Final = 100
"""Parameters and tags that MLflow takes in one request; of metrics it takes 1,000."""

_CERTIFIED: Final = (
    "score", "score_bound", "label_flips", "flips_bound", "max_difference", "row_us", "bytes",
)  # fmt: skip


@dataclass(frozen=True)
class VersionFigures:
    """What is logged of a version.

    Attributes:
        model: name of the line.
        version: of it.
        manifest: SHA-256 of its manifest.
        metrics: finite numbers by name.
        params: words by name.
        tags: words by name.
    """

    model: str
    version: str
    manifest: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]


def figures_of(report: Mapping[str, Any]) -> VersionFigures:
    """Return what is logged of a version.

    Args:
        report: of the version, as the hub answers it.
    """
    record = report["version"]
    metrics = {f"training.{name}": value for name, value in record["metrics"].items()}
    for variant in report["variants"]:
        for name in _CERTIFIED:
            metrics[f"certificate.{variant['name']}.{name}"] = variant.get(name)
    params = {"task": report["task"], "mode": record["mode"], "rows": record["rows"]}
    params["parent"] = record["parent"]
    tags = {f"edge.tag.{key}": value for key, value in report.get("tags", {}).items()}
    tags |= {"edge.model": record["model"], "edge.version": record["version"]}
    return VersionFigures(
        record["model"], record["version"], record["manifest"],
        {_name(k): float(v) for k, v in metrics.items() if _finite(v)},
        {k: str(v) for k, v in params.items() if v is not None},
        {**tags, TAG: record["manifest"]},
    )  # fmt: skip


class MlflowServer:
    """A tracking server. Credentials are those that MLflow's own client takes from the environment:
    ``MLFLOW_TRACKING_TOKEN``, or ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``.

    Args:
        url: of the server.

    Raises:
        Invalid: the URL cannot be one.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise Invalid(f"mlflow: expected an http or https URL, got {url!r:.100}")
        self._url = url.rstrip("/")
        self._session = requests.Session()
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
            self._session.auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))

    def log(self, experiment: str, figures: VersionFigures) -> str:
        """Log the figures of a version; return the id of the run.

        Args:
            experiment: its name; it is made unless it is there.
            figures: of the version.

        Raises:
            HubFault: the server refuses, or cannot be reached.
        """
        id_, now = self._experiment(experiment), int(time.time() * 1_000)
        run = self._run_of(id_, figures) or self._new_run(id_, figures, now)
        metrics = [
            {"key": key, "value": value, "timestamp": now, "step": 0}
            for key, value in sorted(figures.metrics.items())
        ]
        params = _pairs(figures.params)
        for first in range(0, max(len(metrics), 1), 1_000):
            batch = {"run_id": run, "metrics": metrics[first : first + 1_000]}
            self._call("POST", "runs/log-batch", {**batch, **({} if first else {"params": params})})
        self._call("POST", "runs/update", {"run_id": run, "status": "FINISHED", "end_time": now})
        return run

    def _experiment(self, name: str) -> str:
        query = {"experiment_name": name}
        found = self._call("GET", "experiments/get-by-name", query, missing=True)
        if found is not None:
            return str(found["experiment"]["experiment_id"])
        return str(self._call("POST", "experiments/create", {"name": name})["experiment_id"])

    def _run_of(self, experiment: str, figures: VersionFigures) -> str | None:
        asked = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{TAG}` = '{figures.manifest}'",
            "max_results": 1,
        }
        runs = self._call("POST", "runs/search", asked).get("runs", [])
        return str(runs[0]["info"]["run_id"]) if runs else None

    def _new_run(self, experiment: str, figures: VersionFigures, now: int) -> str:
        new = {
            "experiment_id": experiment,
            "start_time": now,
            "run_name": f"{figures.model} {figures.version}",
            "tags": _pairs(figures.tags)[:AT_ONCE],
        }
        return str(self._call("POST", "runs/create", new)["run"]["info"]["run_id"])

    def _call(self, method: str, path: str, body: dict[str, Any], *, missing: bool = False) -> Any:
        url = f"{self._url}/api/2.0/mlflow/{path}"
        try:
            asks = method == "GET"
            response = self._session.request(
                method, url, timeout=TIMEOUT, params=body if asks else None,
                json=None if asks else body,
            )  # fmt: skip
            if missing and response.status_code == 404:
                return None
            if not response.ok:
                raise HubFault(f"{url}: answered {response.status_code}; {response.text:.300}")
            return response.json()
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            raise HubFault(f"{url}: expected an MLflow tracking server; {error}") from error


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": _name(key), "value": value[:500]} for key, value in sorted(values.items())]


def _name(text: str) -> str:
    """Return a name that MLflow takes: of letters, digits and ``_-. /``."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text)[:250]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
