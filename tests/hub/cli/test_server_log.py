"""The log of edge-hub serve: a level, text or JSON, uvicorn's included, and never a token."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from cloud_hub.cli.server_log import OURS, configure_logging
from cloud_hub.hub import initialise
from cloud_hub.settings import Settings
from edge_sdk.cli.logs import without_secrets
from tests.waiting import PATIENCE, wait_for


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), *map(logging.getLogger, OURS)]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


@pytest.mark.usefixtures("logging_as_before")
def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("cloud_hub.loop").info("two\nlines of %s", "text")
    logging.getLogger("uvicorn.error").warning("slow")
    logging.getLogger("cloud_hub.loop").debug("unseen")
    logging.getLogger("urllib3").info("unseen")
    try:
        raise ValueError("Bearer abc.def")
    except ValueError:
        logging.getLogger("cloud_hub.app").exception("failed")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "two\nlines of text"
    assert (first["level"], first["logger"]) == ("INFO", "cloud_hub.loop")
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert (second["level"], second["logger"]) == ("WARNING", "uvicorn.error")
    assert "ValueError: Bearer ***" in third["error"]


@pytest.mark.usefixtures("logging_as_before")
def test_text_is_a_line_with_time_level_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", "text")
    logging.getLogger("cloud_hub.loop").info("unseen")
    logging.getLogger("cloud_hub.loop").warning("disk is full")
    (line,) = capsys.readouterr().err.splitlines()
    at, rest = line.split(" ", 1)
    assert datetime.fromisoformat(at).tzinfo is not None
    assert rest == "WARNING cloud_hub.loop: disk is full"


SECRETS = {
    "Authorization: Bearer s3cr-et.x": "Authorization: Bearer ***",
    "{'token': 's3cret', 'uses': 3}": "{'token': '***', 'uses': 3}",
    "GET /v1/x?token=s3cret&uses=3": "GET /v1/x?token=***&uses=3",
    "postgresql://hub:s3cret@db/hub": "postgresql://hub:***@db/hub",
    "the admin token is wrong": "the admin token is wrong",
}


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_never_written(text: str) -> None:
    assert without_secrets(text) == SECRETS[text]


# Where the tests themselves run in the background, SIGINT is ignored, and children inherit that.
SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cloud_hub.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_hub_that_is_served_logs_json_and_ends_on_ctrl_c_with_one_line(tmp_path: Path) -> None:
    data = tmp_path / "h"
    initialise(Settings(data))
    words = ["serve", str(data), "--port", "0", "--log-format", "json", "--log-level", "info"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", SERVE, *words], stdout=file, stderr=file)
        wait_for(lambda: b"startup complete" in log.read_bytes(), "the hub")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 130
    *lines, last = log.read_text().splitlines()
    assert last == "edge-hub: interrupted"
    entries = [json.loads(line) for line in lines if not line.startswith("edge-hub serves")]
    assert {"uvicorn.error"} <= {entry["logger"] for entry in entries}
    assert (data / "admin.token").read_text().strip() not in log.read_text()
