"""A real MLflow of an environment of its own: a server in SQLite, as it begins today, and models
that its client logs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get("EDGE_MLFLOW_PYTHON") or ROOT / ".venv-mlflow" / "bin" / "python")
MISSING = "MLflow is not in .venv-mlflow; .ci/run says how it gets there"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}  # fmt: skip

LOG = """
import json, sys
import mlflow, numpy as np
from sklearn.linear_model import LogisticRegression

address, flavours = sys.argv[1], sys.argv[2:]
mlflow.set_tracking_uri(address)
mlflow.set_experiment("churn")
rng = np.random.default_rng(0)
x = rng.normal(size=(300, 4)).astype(np.float32)
y = (x[:, 0] > 0).astype(int)
model = LogisticRegression(C=2.0).fit(x, y)
about = {"name": "model", "pip_requirements": []}

def log(flavour):
    if flavour == "skops":
        mlflow.sklearn.log_model(model, registered_model_name="churn", **about)
    elif flavour == "cloudpickle":
        mlflow.sklearn.log_model(
            model, registered_model_name="churn", serialization_format="cloudpickle", **about
        )
    elif flavour == "onnx":
        from skl2onnx import to_onnx
        mlflow.onnx.log_model(to_onnx(model, x[:1], options={"zipmap": False}), **about)
    else:
        import torch
        torch.manual_seed(0)
        linear = torch.nn.Linear(4, 2)
        linear.weight.data = torch.tensor([[-3.0, 0, 0, 0], [3.0, 0, 0, 0]])
        net = torch.nn.Sequential(linear, torch.nn.Softmax(dim=1)).eval()
        if flavour == "pt2":
            mlflow.pytorch.log_model(net, input_example=x[:3], **about)
        else:
            mlflow.pytorch.log_model(net, serialization_format="pickle", **about)

runs = {}
for flavour in flavours:
    with mlflow.start_run() as run:
        mlflow.log_param("C", 2.0)
        mlflow.log_metric("accuracy", 0.5, step=0)
        mlflow.log_metric("accuracy", 0.97, step=1)
        mlflow.log_metric("loss", float("nan"))
        mlflow.set_tag("team", "vision")
        log(flavour)
        runs[flavour] = run.info.run_id
client = mlflow.MlflowClient()
client.set_registered_model_alias("churn", "champion", 1)
client.set_model_version_tag("churn", "1", "reviewed", "yes")
print(json.dumps(runs))
"""


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Run ``mlflow server`` with its defaults in a folder; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [PYTHON, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"],
            cwd=folder, env=os.environ | QUIET, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(url) or process.poll() is not None, "MLflow's server")
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        os.killpg(process.pid, 15)  # its workers, too
        process.wait(PATIENCE)


def logged(address: str, *flavours: str, folder: Path) -> dict[str, str]:
    """Have MLflow's client log a model of each flavour; return the ids of their runs.

    Args:
        address: of a server, or a folder, which MLflow writes only where it is asked to.
        flavours: ``skops``, ``cloudpickle``, ``onnx``, ``pt2``, ``pickle``.
        folder: in which it runs.
    """
    done = subprocess.run(
        [PYTHON, "-c", LOG, address, *flavours], cwd=folder, capture_output=True, text=True,
        check=False, env=os.environ | QUIET | {"MLFLOW_ALLOW_FILE_STORE": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    runs: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    return runs


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=PATIENCE).ok
    except requests.ConnectionError:
        return False
