"""The log of ``edge-hub serve``: every logger of the process, uvicorn's too, in one form."""

from __future__ import annotations

import logging
from typing import Final, Literal

from cloud_hub.observability.request_ids import add_request_id
from edge_sdk.cli.logs import log_handler

OURS: Final = ("edge_sdk", "converters", "cloud_hub", "uvicorn")
"""Loggers that follow ``--log-level``; those of other libraries speak up from warnings on."""


def configure_logging(level: str, form: Literal["text", "json"]) -> None:
    """Send every logger of this process to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text``, or ``json`` for one object a line with ``time`` (ISO), ``level``,
            ``logger``, ``message``, ``request`` with the id of the request in which it was logged,
            and ``error`` with the traceback, where there is one.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    handler = log_handler(form)
    handler.addFilter(add_request_id)
    root.handlers[:] = [handler]
    # Libraries tell their steps at INFO (alembic, tuf): an operator did not ask for those.
    root.setLevel(max(number, logging.WARNING))
    for name in OURS:
        logger = logging.getLogger(name)
        logger.setLevel(number)
        logger.handlers.clear()  # uvicorn's own would say everything twice
        logger.propagate = True
