"""Quiet for quantizers, which print, warn and log; none of it is for our users."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Let nothing out that is printed, warned or logged."""
    import onnxruntime

    # They log through the root logger itself, so that their own names cannot be silenced.
    level = logging.root.level
    logging.root.setLevel(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(4)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
        onnxruntime.set_default_logger_severity(2)
