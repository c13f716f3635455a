"""Draw the picture of the README: the page of a hub with models, devices and a canary.

    python -m handbook.pictures

The hub is started for it and serves three small models to a few devices; what the picture shows is
what the page says of them. Chromium and Playwright take it, in light colours.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig

PICTURE: Final = Path(__file__).parent.parent / "docs" / "assets" / "hub.png"
WIDTH, HEIGHT = 1120, 640
MODELS: Final = {"digits": 5, "defects": 3, "doorbell": 4}
"""Name → devices."""


def main() -> int:
    """Start, fill, take the picture, end."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        admin = stack.enter_context(_hub(Path(folder) / "hub"))
        devices = [
            stack.enter_context(device)
            for model, count in MODELS.items()
            for device in _fleet(admin, Path(folder), model, count)
        ]
        _canary(admin, Path(folder))
        for device in devices:
            _use(device)
        _photograph(admin.url, (Path(folder) / "hub" / "admin.token").read_text().strip())
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


@contextmanager
def _hub(data: Path) -> Iterator[Any]:
    from cloud_hub.client import AdminClient
    from cloud_hub.hub import initialise
    from cloud_hub.settings import Settings

    initialise(Settings(data))
    command = [sys.executable, "-m", "cloud_hub.cli.main", "serve", str(data), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not (data / "hub.url").exists():
                time.sleep(0.1)
            yield AdminClient.of_data(data, timeout=60)
        finally:
            process.terminate()


def _fleet(admin: Any, folder: Path, model: str, count: int) -> list[EdgeDevice]:
    _publish(admin, folder, model, "1.0")
    admin.post(f"models/{model}/promote", version="1.0", reason="first")
    tokens = admin.post("enrolment-tokens", model=model, count=count)
    config = DeviceConfig(sync_seconds=3600)
    return [
        EdgeDevice(
            folder / f"{model}-{number}", hub=admin.url, token=token, model=model, config=config
        )
        for number, token in enumerate(each["token"] for each in tokens["tokens"])
    ]


def _publish(admin: Any, folder: Path, model: str, version: str) -> None:
    release = _release(folder / f"made-{model}-{version}", model, version)
    key = folder / "hub" / "keys" / "releases.pem"
    admin.publish(release, key, override="a picture")


def _release(folder: Path, model: str, version: str) -> Path:
    from sklearn.linear_model import LogisticRegression

    from converters import Metadata, convert

    random = np.random.default_rng(len(model))
    X = random.normal(size=(600, 6)).astype(np.float32)
    y = (X @ random.normal(size=6) > 0).astype(int)
    fitted = LogisticRegression().fit(X, y)
    convert(fitted, X, y, name=model, out=folder, metadata=Metadata(version=version))
    return folder


def _canary(admin: Any, folder: Path) -> None:
    _publish(admin, folder, "digits", "1.1")
    admin.post("models/digits/canary", version="1.1")


def _use(device: EdgeDevice) -> None:
    device.sync()
    for row in np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32):
        device.predict(row)
    device.sync()


def _photograph(url: str, token: str) -> None:
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium")
    if browser_path is None:
        raise SystemExit("expected chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # Where this runs as root, Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(f"{url}/sign-in")
        page.fill("input[name=token]", token)
        page.click("main button")
        page.wait_for_url(f"{url}/")
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
