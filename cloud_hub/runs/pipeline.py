"""Training in the user's own pipeline: the hub calls a webhook, the pipeline calls back.

The hub posts what is to be done, with a token for this run alone. With it the pipeline fetches
``fresh``, ``history`` and ``state``, leaves a model, and says that it is done. What it leaves goes
through the same conversion and the same gates as any other training.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final

import requests

from cloud_hub.errors import Conflict, Forbidden, HubFault, Invalid, NotFound
from cloud_hub.policy.schema import TrainPolicy
from cloud_hub.runs import jobs
from cloud_hub.runs.jobs import TrainingJob
from edge_sdk.system.files import write_atomic

ANSWER_SECONDS: Final = 10.0
GIVEN: Final = {"fresh": "fresh.npz", "history": "history.npz", "state": "parent.state"}
LEFT: Final = {
    "onnx": "model.onnx",
    "skops": "model.skops",
    "state": "state",
    "check": "check.npz",
}
"""What a pipeline may leave. No pickles: whoever holds a run's token must not run code here."""


def call(folder: Path, job: TrainingJob, policy: TrainPolicy, hub: str) -> None:
    """Ask the user's pipeline to train; raises HubFault if it does not take it."""
    assert policy.webhook is not None
    token = secrets.token_urlsafe(32)
    base = f"{(policy.reach or hub).rstrip('/')}/v1/runs/{job.run}"
    told = {
        "run": job.run, "model": job.model, "mode": job.mode, "mode_reason": job.mode_reason,
        "parent": job.parent, "window": job.window, "seed": job.seed, "token": token,
        "data": f"{base}/data", "result": f"{base}/result",
    }  # fmt: skip
    write_atomic(folder / "token", hashlib.sha256(token.encode()).hexdigest().encode())
    try:
        answer = requests.post(
            policy.webhook, json=told, headers=_secret(policy), timeout=ANSWER_SECONDS
        )
    except requests.RequestException as error:
        raise HubFault(f"train: {policy.webhook}: no answer ({type(error).__name__})") from error
    if not answer.ok:
        raise HubFault(f"train: {policy.webhook}: answered {answer.status_code}")


def check_token(folder: Path, token: str) -> None:
    """Raise Forbidden unless ``token`` is the run's."""
    path = folder / "token"
    known = path.read_text() if path.exists() else ""
    given = hashlib.sha256(token.encode()).hexdigest()
    if not secrets.compare_digest(known, given):
        raise Forbidden("run: wrong token")


def given(folder: Path, name: str) -> Path:
    """The file that a pipeline asks for; raises NotFound."""
    path = folder / GIVEN.get(name, "")
    if name not in GIVEN or not path.exists():
        raise NotFound(f"{name}: not there; a run has {sorted(GIVEN)}, as far as it has them")
    return path


def leave(folder: Path, kind: str, raw: bytes) -> None:
    """Keep what a pipeline made; raises Invalid, Conflict."""
    if kind not in LEFT:
        raise Invalid(f"kind: expected one of {sorted(LEFT)}, got {kind!r}")
    if said(folder) is not None:
        raise Conflict("run: the pipeline said already that it is done")
    write_atomic(folder / jobs.OUT / LEFT[kind], raw)


def finish(folder: Path, reason: str) -> None:
    """The pipeline is done; with a ``reason`` it failed. Raises Conflict without a model."""
    if not reason and jobs.left_model(folder) is None:
        raise Conflict("run: leave a model before you say that it is done")
    if said(folder) is None:
        write_atomic(folder / "said.json", json.dumps({"reason": reason}).encode())


def said(folder: Path) -> dict[str, Any] | None:
    """What the pipeline said at its end, if it did."""
    path = folder / "said.json"
    return json.loads(path.read_text()) if path.exists() else None


def _secret(policy: TrainPolicy) -> dict[str, str]:
    """The pipeline's own token comes from the hub's environment, never from a file in git."""
    if policy.token_env is None:
        return {}
    token = os.environ.get(policy.token_env)
    if not token:
        raise HubFault(f"train: the hub's environment has no {policy.token_env}")
    return {"Authorization": f"Bearer {token}"}
