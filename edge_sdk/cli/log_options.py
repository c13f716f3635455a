"""Options of the log that commands which run on share."""

from __future__ import annotations

import argparse
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")


def add_log_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a command that runs on: how much is logged, and in which form."""
    command.add_argument(
        "--log-level",
        choices=LEVELS,
        default="warning",
        help="the least that is logged to standard error (default: warning)",
    )
    command.add_argument(
        "--log-format",
        choices=FORMATS,
        default="text",
        help="of the log: a line of text, or a JSON object a line (default: text)",
    )
