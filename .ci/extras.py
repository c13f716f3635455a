"""Install every extra alone from built wheels, and use it: ``python .ci/extras.py dist``.

Each has an environment of its own in a temporary folder, so what an extra forgot to name is missing
there. With ``--light`` those that bring more than a hundred megabytes of others are left out. The
three programs are also run without being installed, as ``uvx`` and ``pipx run`` do it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

MODEL: Final = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from converters import convert
from edge_sdk import EdgeDevice
X, y = load_iris(return_X_y=True)
release = convert(LogisticRegression(max_iter=500).fit(X, y), X, y, name="iris", out="iris-1.0")
with EdgeDevice.offline(release.folder) as device:
    assert device.predict(X[0]).label == 0
"""
HUB: Final = """
import subprocess, sys
def edge_hub(*words):
    subprocess.run([sys.executable, "-m", "cloud_hub.cli.main", *words], check=True)
edge_hub("init", "hub")
edge_hub("db", "status", "hub")
"""
SIGN: Final = """
import subprocess, sys
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
private = forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
open("signing.pem", "wb").write(key.private_bytes(*private))
public = forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
open("signing.pub", "wb").write(key.public_key().public_bytes(*public))
for words in ("sign iris-1.0 --key signing.pem", "check-signature iris-1.0 --key signing.pub"):
    subprocess.run([sys.executable, "-m", "converters.cli.main", *words.split()], check=True)
"""
MODULES: Final = """
import os, numpy, onnxscript, torch
os.environ["KERAS_BACKEND"] = "torch"  # TensorFlow, the default, is no part of the extra
import keras
rows = numpy.random.default_rng(0).normal(size=(64, 4)).astype(numpy.float32)
layers = [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
for name, model in (("torch", module), ("keras", keras.Sequential(layers))):
    convert(model, rows, name=name, out=f"{name}-1.0")
"""
PLAIN: Final = """
import onnxruntime
from edge_sdk import EdgeDevice
assert "CPUExecutionProvider" in onnxruntime.get_available_providers()
"""
SMALLEST: Final = {
    "": PLAIN,
    "convert": MODEL,
    "hub": HUB,
    "postgres": HUB + "import psycopg; psycopg.pq.version()",
    "s3": HUB + "import obstore.store; obstore.store.MemoryStore()",
    "notify": HUB + "import apprise; assert apprise.Apprise().add('mailto://a:b@example.com')",
    "otel": HUB + "from opentelemetry.sdk.trace import TracerProvider; TracerProvider()\n"
    "import opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "oidc": HUB + "import authlib.jose, joserfc.jwt",
    "sign": MODEL + SIGN,
    "plot": PLAIN + "import matplotlib; matplotlib.use('svg'); import matplotlib.pyplot",
    "extensions": PLAIN + "import onnxruntime_extensions",
    "bench": PLAIN + "import bsdiff4, diskcache, lmdb",
    "boosting": "import catboost, lightgbm, xgboost",
    "ray": HUB + "import ray",
    "torch": MODEL + MODULES,
    "demo": HUB + "import matplotlib",
}
FOR_A_CHECKOUT: Final = ("checkout", "test", "dev", "site")
"""What the repository's own targets install; of no use beside a wheel."""
HEAVY: Final = ("bench", "boosting", "ray", "torch", "demo")
PROGRAMS: Final = {
    "edge": "edge-deployment-sdk-core",
    "edge-convert": "edge-deployment-sdk-converters",
    "edge-hub": "edge-deployment-sdk-hub",
}


def fresh(folder: Path, dist: Path, what: str) -> Path:
    """Return the interpreter of a new environment with a requirement in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [*uv("uv"), "pip", "install", "--quiet", "--python", str(python)]
    # What is named to uv takes the place of what its environment names; pip's is looked at, too.
    for place in (str(dist), *os.environ.get("PIP_FIND_LINKS", "").split()):
        command += ["--find-links", place]
    subprocess.run([*command, what], check=True)
    return python


def uv(program: str) -> list[str]:
    """Return the command of uv, or of uvx, wherever it is installed."""
    beside = Path(sys.executable).with_name(program)
    return [str(beside) if beside.exists() else program]


def use(dist: Path, version: str, extra: str) -> None:
    """Install one extra, import everything that it brings to us, and use it."""
    name = "edge-deployment-sdk"
    what = f"{name}[{extra}]=={version}" if extra else f"{name}=={version}"
    with tempfile.TemporaryDirectory() as temporary:
        python = fresh(Path(temporary) / "env", dist, what)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [str(python), "-W", "ignore", "-c", SMALLEST[extra]]
        done = subprocess.run(
            command, cwd=temporary, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{extra or '(plain)'}: {done.stdout}{done.stderr}")


def run_without_installing(dist: Path, version: str) -> None:
    """Run the three programs as a user does who only wants to try them."""
    for program, name in PROGRAMS.items():
        needs = f"{name}=={version}"
        words = ["--from", needs, "--find-links", str(dist)]
        subprocess.run([*uv("uvx"), *words, program, "--version"], check=True)
        if os.environ.get("EDGE_PIPX"):
            more = ["--spec", needs, f"--pip-args=--find-links={dist}"]
            subprocess.run([*uv("pipx"), "run", *more, program, "--version"], check=True)


def main() -> int:
    """Go through the extras; the first that fails ends it."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    dist = Path(words[0] if words else "dist").resolve()
    (wheel,) = dist.glob("edge_deployment_sdk-[0-9]*.whl")
    version = wheel.name.split("-")[1]
    run_without_installing(dist, version)
    chosen = words[1:] or [e for e in SMALLEST if "--light" not in sys.argv or e not in HEAVY]
    for extra in chosen:
        began = time.monotonic()
        use(dist, version, extra)
        print(f"{extra or '(plain)'}: works, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
