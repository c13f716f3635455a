"""Every error that the converters raise on purpose.

::

    ConversionError          the model, the data or an option cannot be used; nothing was written
    ├── UnsupportedModel     steps of the model have no ONNX form; the message lists them
    ├── ParityError          the exported model answers differently; the message shows where
    ├── BudgetExceeded       no variant keeps the budget; the message has the table of all
    └── ExchangeError        a release cannot be pushed, pulled, signed, or its signature is wrong
"""

from __future__ import annotations


class ConversionError(Exception):
    """The model, the data or an option cannot be used; nothing was written."""


class UnsupportedModel(ConversionError):
    """Steps of the model have no ONNX form; the message lists them."""


class ParityError(ConversionError):
    """The exported model answers differently from the original; the message shows where."""


class BudgetExceeded(ConversionError):
    """No variant keeps the budget; ``table`` shows what each one costs."""

    def __init__(self, message: str, table: str) -> None:
        super().__init__(f"{message}\n{table}")
        self.table = table


class ExchangeError(ConversionError):
    """A release cannot be pushed, pulled or signed, or its signature is not what it should be."""


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error's message, for one of ours; else its type."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)[:300]
