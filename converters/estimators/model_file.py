"""Fitted estimators from files: pickles of people who are trusted, and skops files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError

HARMLESS: Final = ("numpy.dtype",)
"""Types that skops leaves to its user to trust, and that run nothing: every encoder of texts has an
array of objects, and with it the name of that kind of array.
"""


def load(path: str | Path, *, trust: bool = False) -> Any:
    """Return the model of a pickle (``.pkl``, ``.pickle``, ``.joblib``) or a ``.skops`` file.

    Args:
        path: of the file; skops files need skops to be installed.
        trust: the caller trusts the file: loading a pickle runs code that it contains.

    Raises:
        ConversionError: not trusted, unknown kind of file, or unreadable.
    """
    where = Path(path)
    if not where.is_file():
        raise ConversionError(f"{where}: there is no such file")
    if where.suffix == ".skops":
        return _load_skops(where, trust=trust)
    if where.suffix not in (".pkl", ".pickle", ".joblib"):
        raise ConversionError(
            f"{where}: expected .onnx, .pt2, .keras, .skops, .pkl, .pickle or .joblib"
        )
    if not trust:
        raise ConversionError(
            f"{where}: loading a pickle runs code inside it; if you trust its source, say "
            "trust=True (--trust)"
        )
    import joblib

    try:
        return joblib.load(where)
    except Exception as error:  # the file's own code may raise anything
        raise ConversionError(f"{where}: cannot be loaded; {error!r:.300}") from error


def _load_skops(where: Path, *, trust: bool) -> Any:
    """Load a skops file; its types are listed before any is constructed."""
    try:
        from skops import io
    except ImportError as error:
        raise ConversionError(f"{where}: reading this needs skops; pip install skops") from error
    try:
        # Read once: what was audited is what is loaded, even if the file changes in between.
        raw = where.read_bytes()
        named = io.get_untrusted_types(data=raw)
        unknown = [name for name in named if name not in HARMLESS]
        if not unknown or trust:
            return io.loads(raw, trusted=named)
    except Exception as error:
        raise ConversionError(f"{where}: cannot be loaded; {error!r:.300}") from error
    raise ConversionError(
        f"{where}: holds types that skops does not know: {', '.join(unknown[:5])}; "
        "if you trust its source, say trust=True (--trust)"
    )
