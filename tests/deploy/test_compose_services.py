"""What the Compose file starts works together: the same commands and files, without containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.deploy.test_compose import DEPLOY
from tests.postgres import MISSING, installed_programs

NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
LASTS = 300.0


@pytest.mark.deploy
@pytest.mark.postgres
@pytest.mark.slow
def test_the_services_of_compose_start_and_a_device_joins_through_them() -> None:
    missing = [name for name in ("caddy", "prometheus") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install caddy prometheus")
    if installed_programs() is None:
        pytest.skip(MISSING)
    if subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs namespaces of mounts and networks: run it as root")
    with tempfile.TemporaryDirectory(prefix="compose-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL refuses to run as root
        done = subprocess.run(
            [*NAMESPACES, sys.executable, "-m", "tests.deploy.compose_here", folder],
            capture_output=True, text=True, timeout=LASTS, cwd=DEPLOY.parent,
            env={**os.environ, "PYTHONPATH": str(DEPLOY.parent)},
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers with digits 1.0" in done.stdout
    assert "edge_hub_ready 1" in done.stdout
