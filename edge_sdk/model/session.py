"""The model: the only module that knows onnxruntime.

Invariants:

* One session per release, shared by all threads; what a call writes to (buffers, binding) belongs
  to one thread.
* A model whose file fixes the batch (``[8, …]``) takes any number of rows here: they are run in
  blocks, the last one filled up with its last row.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest, OutputSpec, Signature, TensorSpec
    from edge_sdk.model.release import Feed, Release

Outputs = dict[str, NDArray[Any]]
_QUIET: Final = 4
"""onnxruntime's log severity "fatal": what went wrong reaches the caller as an exception."""

if os.environ.get("ORT_DISABLE_TELEMETRY") == "1":
    onnxruntime.disable_telemetry_events()  # an application may have imported it before us


def session_options(options: RuntimeOptions) -> Any:
    """Return onnxruntime's session options for single rows: few threads, and none spins."""
    native = onnxruntime.SessionOptions()
    native.intra_op_num_threads = options.threads
    native.inter_op_num_threads = 1
    native.log_severity_level = _QUIET
    # Between two predictions a spinning thread would burn a core of a device that runs on battery.
    native.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return native


@dataclass(frozen=True)
class BoundRow:
    """One row's buffers, bound to the session once; they belong to one thread.

    Attributes:
        place: the input buffer's bytes: write a row here, in the input's dtype, C order.
        run: one run of the model from ``place`` into ``outputs``; raises what onnxruntime raises.
        outputs: by name, with a batch axis of one; the next run overwrites them.
    """

    place: memoryview
    run: Callable[[], None]
    outputs: Outputs


class Model:
    """An ONNX model in memory."""

    def __init__(self, release: Release, session: Any) -> None:
        self.manifest: Manifest = release.manifest
        self._session = session
        self._call = _plain_call(session)
        signature = release.manifest.signature
        self._names = [spec.name for spec in signature.outputs]
        self._options = onnxruntime.RunOptions()
        self._block = fixed_batch(signature)

    @classmethod
    def load(cls, release: Release, options: RuntimeOptions = RuntimeOptions()) -> Model:
        """Load the model of ``release``.

        Raises:
            ReleaseError: onnxruntime refuses the file, or it has other inputs than the manifest.
        """
        path = str(release.model_path)
        try:
            session = onnxruntime.InferenceSession(
                path, session_options(options), providers=list(options.providers)
            )
        except Exception as error:
            raise ReleaseError(f"{path}: onnxruntime cannot load it; {error}") from error
        signature = release.manifest.signature
        _check_names(path, "inputs", [x.name for x in session.get_inputs()], signature.inputs)
        _check_names(path, "outputs", [x.name for x in session.get_outputs()], signature.outputs)
        return cls(release, session)

    def run(self, feed: Feed, outputs: Sequence[OutputSpec] | None = None) -> Outputs:
        """``outputs`` (default: every one) by name, batch axis included.

        Inputs are as :class:`InputSchema` makes them.

        Raises:
            ReleaseError: the model fails on this input.
        """
        names = self._names if outputs is None else [spec.name for spec in outputs]
        if self._block and len(next(iter(feed.values()))) != self._block:
            return self._run_blocks(feed, names, self._block)
        return self._run(feed, names)

    def _run(self, feed: Feed, names: list[str]) -> Outputs:
        try:
            return dict(zip(names, self._call(names, feed, self._options), strict=True))
        except Exception as error:
            raise ReleaseError(f"the model failed; {error}") from error

    def _run_blocks(self, feed: Feed, names: list[str], size: int) -> Outputs:
        count = len(next(iter(feed.values())))
        parts = []
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)
            parts.append(self._run({name: array[rows] for name, array in feed.items()}, names))
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in names}

    def abort(self) -> None:
        """End every run that is under way, as soon as onnxruntime looks; later ones fail at once.

        Runs of :meth:`bind` are not reached.
        """
        self._options.terminate = True

    def bind(self, outputs: Sequence[OutputSpec]) -> BoundRow | None:
        """Buffers for single rows, giving ``outputs`` only.

        ``None`` unless there is one input, and it and the outputs have one fixed shape.
        """
        signature = self.manifest.signature
        specs: tuple[TensorSpec | OutputSpec, ...] = (*signature.inputs, *outputs)
        if len(signature.inputs) != 1 or not signature.batched or not all(map(_fixed, specs)):
            return None
        binding = self._session.io_binding()
        spec = signature.inputs[0]
        row = _buffer(spec)
        binding.bind_input(spec.name, "cpu", 0, row.dtype, row.shape, row.ctypes.data)
        buffers = {spec.name: _buffer(spec) for spec in outputs}
        for name, buffer in buffers.items():
            binding.bind_output(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        run = _bound_call(self._session, binding)
        return BoundRow(row.data.cast("B"), run, buffers)


def _plain_call(session: Any) -> Callable[..., Any]:
    """``session.run`` without the checks of onnxruntime's wrapper: 1.1 of 12 µs, measured.

    The schema has checked more than they do. Where this version of onnxruntime is built otherwise,
    the wrapper is used.
    """
    try:
        run: Callable[..., Any] = session._sess.run
    except AttributeError:
        run = session.run
    return run


def _bound_call(session: Any, binding: Any) -> Callable[[], None]:
    """A run of ``binding`` without what onnxruntime's wrapper does on each call.

    The wrapper looks after CUDA graphs and makes new run options: 1.1 of 3.5 µs, measured. It is
    used where this version of onnxruntime is built otherwise.
    """
    try:
        run, bound = session._sess.run_with_iobinding, binding._iobinding
    except AttributeError:
        return functools.partial(session.run_with_iobinding, binding)
    return functools.partial(run, bound, onnxruntime.RunOptions())


def first_row(feed: Feed, signature: Signature) -> Feed:
    """``feed`` cut down to its first row, where its tensors have a batch axis."""
    if not signature.batched:
        return feed
    state = {link.input for link in signature.state}
    return {name: array if name in state else array[:1] for name, array in feed.items()}


def fixed_batch(signature: Signature) -> int | None:
    """Rows that the file takes at a time, where it fixes their number."""
    shape = signature.inputs[0].shape
    return shape[0] if signature.batched and shape else None


def _fixed(spec: TensorSpec | OutputSpec) -> bool:
    one_row = spec.shape[:1] in ((None,), (1,))
    return one_row and spec.dtype != "string" and None not in spec.shape[1:]


def _buffer(spec: TensorSpec | OutputSpec) -> NDArray[Any]:
    shape = (1, *(size or 0 for size in spec.shape[1:]))
    return np.zeros(shape, dtype=spec.dtype)


def _check_names(
    path: str, what: str, found: list[str], specs: tuple[TensorSpec | OutputSpec, ...]
) -> None:
    expected = [spec.name for spec in specs]
    if sorted(found) != sorted(expected):
        raise ReleaseError(f"{path}: expected the {what} {expected}, found {found}")


def runtime_version() -> str:
    """The version of onnxruntime on this machine."""
    return str(onnxruntime.__version__)
