"""Training in the user's own pipeline: the hub calls a webhook, the pipeline calls back.

The hub posts the training to be done, with a token for this run alone. With it the pipeline fetches
``fresh``, ``history`` and ``state``, leaves a model, and says that it is done, and with which
version of its code. The model goes through the same conversion and the same gates as any other.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound, Unauthenticated
from cloud_hub.isolation.handback import printable
from cloud_hub.runs import jobs
from edge_sdk.contract.codec import decode, encode
from edge_sdk.system.files import write_atomic

if TYPE_CHECKING:
    from cloud_hub.isolation.workers import Workers
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.runs.jobs import TrainingJob

ANSWER_SECONDS: Final = 10.0
REASON: Final = 2_000
"""Characters of a pipeline's reason that are kept."""

CODE: Final = 200
"""Characters of the name of its code that are kept."""

INPUTS: Final = {"fresh": jobs.FRESH, "history": jobs.HISTORY, "state": jobs.PARENT_STATE}
OUTPUTS: Final = {
    "onnx": "model.onnx",
    "skops": "model.skops",
    "state": "state",
    "check": jobs.CHECK,
}
"""Files that a pipeline may leave. No pickles: who holds a run's token must not run code here."""


@dataclass(frozen=True)
class PipelineOutcome:
    """End of a pipeline; ``reason`` is empty unless it failed, ``code`` what it trained with."""

    reason: str
    code: str = ""


def call(
    folder: Path, job: TrainingJob, policy: TrainPolicy, reach: str, code: str | None = None
) -> None:
    """Ask the user's pipeline to train.

    Args:
        folder: of the attempt.
        job: the training to be done.
        policy: its webhook, and the token for that.
        reach: the hub's address as the pipeline sees it.
        code: version of its code that the model is held at, by the pipeline's own name for it.

    Raises:
        HubFault: the pipeline cannot be reached, or refuses.
    """
    import requests

    assert policy.webhook is not None
    token = secrets.token_urlsafe(32)
    base = f"{reach.rstrip('/')}/v1/runs/{job.run}"
    body = {
        "run": job.run, "model": job.model, "mode": job.mode, "mode_reason": job.mode_reason,
        "parent": job.parent, "window": job.window, "seed": job.seed, "token": token,
        "data": f"{base}/data", "result": f"{base}/result", "code": code,
    }  # fmt: skip
    # Before the call: a pipeline may call back before it answers. Only the hash is stored.
    write_atomic(folder / "token", hashlib.sha256(token.encode()).hexdigest().encode())
    try:
        answer = requests.post(
            policy.webhook, json=body, headers=_secret(policy), timeout=ANSWER_SECONDS
        )
    except requests.RequestException as error:
        raise HubFault(f"train: {policy.webhook}: no answer ({type(error).__name__})") from error
    if not answer.ok:
        raise HubFault(f"train: {policy.webhook}: answered {answer.status_code}")


def check_foreign(workers: Workers, policy: TrainPolicy) -> None:
    """Raise HubFault if nothing on this machine keeps what a webhook's pipeline sends apart."""
    if policy.webhook is not None and not workers.takes_foreign():
        raise HubFault(
            "train: what a pipeline sends is not loaded here, because nothing on this machine "
            f"keeps it from the hub's secrets ({workers.isolation}); see docs/PIPELINES.md"
        )


def hub_url(data: Path, policy: TrainPolicy) -> str:
    """Return the hub's address as a pipeline sees it; ``data`` is the hub's folder."""
    path = data / "hub.url"
    if policy.reach is None and not path.exists():
        raise HubFault("train: the hub has no address yet; say train.reach in the policy")
    return policy.reach or path.read_text().strip()


def was_called(folder: Path) -> bool:
    """Return whether an attempt was given to a pipeline."""
    return (folder / "token").exists()


def check_token(folder: Path, token: str) -> None:
    """Raise Unauthenticated unless ``token`` is the run's."""
    path = folder / "token"
    expected = path.read_text() if path.exists() else ""
    received = hashlib.sha256(token.encode()).hexdigest()
    if not secrets.compare_digest(expected, received):
        raise Unauthenticated("run: wrong token")


def input_file(folder: Path, name: str) -> Path:
    """Return the file that a pipeline asks for; raises NotFound."""
    path = folder / INPUTS.get(name, "")
    if name not in INPUTS or not path.exists():
        raise NotFound(f"{name}: not there; a run has {sorted(INPUTS)}, as far as it has them")
    return path


def leave(folder: Path, kind: str, raw: bytes) -> None:
    """Store a file that a pipeline made.

    Args:
        folder: of the attempt.
        kind: one of :data:`OUTPUTS`.
        raw: content of the file.

    Raises:
        Invalid: no such kind.
        Conflict: the pipeline said already that it is done.
    """
    if kind not in OUTPUTS:
        raise Invalid(f"kind: expected one of {sorted(OUTPUTS)}, got {kind!r}")
    if outcome(folder) is not None:
        raise Conflict("run: the pipeline said already that it is done")
    write_atomic(folder / jobs.OUT / OUTPUTS[kind], raw)


def finish(folder: Path, reason: str, code: str = "") -> None:
    """Note that the pipeline is done.

    Args:
        folder: of the attempt.
        reason: why it failed; empty if it did not.
        code: version of the code that has trained, such as a commit; its own claim.

    Raises:
        Conflict: it did not fail, and left no model.
    """
    if not reason and jobs.find_model(folder) is None:
        raise Conflict("run: leave a model before you say that it is done")
    if outcome(folder) is None:
        said = PipelineOutcome(printable(reason, REASON), printable(code, CODE))
        write_atomic(folder / "said.json", encode(said))


def outcome(folder: Path) -> PipelineOutcome | None:
    """Return the end of the pipeline, if it has ended."""
    path = folder / "said.json"
    return decode(PipelineOutcome, path.read_bytes(), limit=1 << 20) if path.exists() else None


def _secret(policy: TrainPolicy) -> dict[str, str]:
    """Read the pipeline's own token from the hub's environment; it never stands in git."""
    if policy.token_env is None:
        return {}
    token = os.environ.get(policy.token_env)
    if not token:
        raise HubFault(f"train: the hub's environment has no {policy.token_env}")
    return {"Authorization": f"Bearer {token}"}
