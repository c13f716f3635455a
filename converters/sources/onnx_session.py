"""The file as it came, in onnxruntime: what its own answers are, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, first_line
from converters.onnx_export.external_weights import loadable
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Feed
from edge_sdk.model.session import session_options


class RawModel:
    """A model that is in no release yet.

    Args:
        model: path of the file, or a ModelProto.
        name: for messages.
        domains: of its operators.

    Raises:
        ConversionError: onnxruntime cannot load it.
    """

    def __init__(self, model: Any, name: str, domains: Iterable[str] = ()) -> None:
        import onnxruntime

        options = RuntimeOptions()
        file = nullcontext(str(model)) if isinstance(model, Path) else loadable(model)
        try:
            with file as source:
                self._session: Any = onnxruntime.InferenceSession(
                    source, session_options(options, domains), providers=list(options.providers)
                )
        except Exception as error:  # onnxruntime has an error of its own for each kind of trouble
            raise ConversionError(
                f"{name}: onnxruntime cannot load it; {first_line(error)}"
            ) from error
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name.

        Raises:
            ConversionError: it fails on ``feed``.
        """
        try:
            return dict(zip(self._names, self._session.run(None, feed), strict=True))
        except Exception as error:
            shapes = {name: array.shape for name, array in feed.items()}
            raise ConversionError(
                f"X: the model fails on samples of the shapes {shapes}; {first_line(error)}"
            ) from error
