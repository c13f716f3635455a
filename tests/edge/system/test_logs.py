"""Loggers by the rules for libraries: silent and unconfigured until the application listens."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from edge_sdk.cli.logs import JsonFormatter, TextFormatter
from edge_sdk.system.logs import Log
from tests.waiting import PATIENCE

OPENS = """
import sys
from edge_sdk.system.logs import Log
Log("edge_sdk.x").warning("nobody listens")
assert "logging" not in sys.modules
import logging
Log("edge_sdk.x").warning("nobody has a handler")
assert [type(h) for h in logging.getLogger("edge_sdk").handlers] == [logging.NullHandler]
assert logging.getLogger().handlers == [] and logging.getLogger("edge_sdk").level == 0
"""


def test_without_a_handler_nothing_is_written_and_logging_is_not_even_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPENS], capture_output=True, check=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_records_have_the_logger_the_level_and_the_line_of_their_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log("edge_sdk.somewhere")
    with caplog.at_level(logging.INFO, "edge_sdk"):
        log.info("%d of %d", 1, 2)
        log.warning("trouble")
    first, second = caplog.records
    assert (first.name, first.levelname, first.getMessage()) == (
        "edge_sdk.somewhere", "INFO", "1 of 2",
    )  # fmt: skip
    assert (second.levelname, second.filename) == ("WARNING", "test_logs.py")


def test_a_record_is_a_line_of_text_or_of_json_and_errors_keep_their_traceback() -> None:
    try:
        raise ValueError("lost")
    except ValueError:
        record = logging.getLogger("edge_sdk.a").makeRecord(
            "edge_sdk.a", logging.WARNING, "f", 1, "%s failed\n", ("it",), sys.exc_info()
        )
    record.created = 0.0
    line = JsonFormatter().format(record)
    assert "\n" not in line
    plain = json.loads(line)
    assert (plain["level"], plain["logger"], plain["message"]) == (
        "WARNING", "edge_sdk.a", "it failed\n",
    )  # fmt: skip
    assert plain["time"][:2] in ("19", "20")
    assert "ValueError: lost" in plain["error"]
    text = TextFormatter().format(record)
    assert "WARNING edge_sdk.a: it failed" in text
    assert text.endswith("ValueError: lost")
