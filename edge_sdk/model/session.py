"""The model in onnxruntime, which no other module of the device imports.

Invariants:

* One session per release, shared by all threads; buffers and bindings belong to one thread.
* A session that was freed (:meth:`Model.unload`) is made again by the next call, from bytes that
  are checked again.
* A model whose file fixes the batch (``[8, …]``) takes any number of rows here: they are run in
  blocks, and the last block is filled up with its last row.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ReleaseError, ReloadError, RuntimeMissing
from edge_sdk.model.options import RuntimeOptions

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise RuntimeMissing from error

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest, OutputSpec, Signature, TensorSpec
    from edge_sdk.model.memory import ModelMemory
    from edge_sdk.model.release import Feed, Release

Outputs = dict[str, NDArray[Any]]
_QUIET: Final = 4
"""onnxruntime's log severity "fatal": errors reach the caller as exceptions, not as text."""

# The variable acts when onnxruntime is imported, which the application may have done first.
if os.environ.get("ORT_DISABLE_TELEMETRY") == "1":
    onnxruntime.disable_telemetry_events()


EXTENSIONS: Final = ("ai.onnx.contrib", "com.microsoft.extensions")
"""Domains of the operators that the package onnxruntime-extensions brings."""


def session_options(options: RuntimeOptions, domains: Iterable[str] = ()) -> Any:
    """Return onnxruntime's session options for single rows: few threads, and none spins.

    Args:
        options: of the session.
        domains: of the model's operators.

    Raises:
        ReleaseError: the model needs onnxruntime-extensions, which is not installed.
    """
    native = onnxruntime.SessionOptions()
    native.intra_op_num_threads = options.threads
    native.inter_op_num_threads = 1
    native.log_severity_level = _QUIET
    # Between two predictions a spinning thread would burn a core of a device that runs on battery.
    native.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if any(domain in EXTENSIONS for domain in domains):
        native.register_custom_ops_library(_extensions_library())
    return native


def _extensions_library() -> str:
    try:
        from onnxruntime_extensions import get_library_path
    except ModuleNotFoundError as error:
        raise ReleaseError(
            "the model decodes pictures or splits texts itself, with operators of "
            'onnxruntime-extensions, which is not installed: pip install "edge-deployment-sdk'
            '[extensions]"'
        ) from error
    return str(get_library_path())


@dataclass(frozen=True)
class BoundRow:
    """Buffers of one row, bound to the session once; they belong to one thread.

    Attributes:
        place: bytes of the input buffer: write a row here, in the input's dtype, C order.
        run: runs the model from ``place`` into ``outputs``; raises what onnxruntime raises.
        outputs: output buffers by name, batch axis of one; the next run overwrites them.
    """

    place: memoryview
    run: Callable[[], None]
    outputs: Outputs


class Model:
    """An ONNX model in memory, or (:meth:`unload`) on the disk until it is called again.

    Args:
        release: whose model it is.
        session: loaded.
        make: makes another session, as :meth:`load` does; without it this one stays in memory.
        memory: is told of every loading, and unloads models that are too many.
    """

    def __init__(
        self,
        release: Release,
        session: Any,
        make: Callable[[], Any] | None = None,
        memory: ModelMemory | None = None,
    ) -> None:
        self.manifest: Manifest = release.manifest
        self._make, self._memory, self._bytes = make, memory, release.model_bytes
        self._loading = threading.Lock()
        self._on_unload: list[WeakMethod[Callable[[], None]]] = []
        self._session = session
        self._call = _plain_call(session)
        signature = release.manifest.signature
        self._names = [spec.name for spec in signature.outputs]
        self._options = onnxruntime.RunOptions()
        self._block = fixed_batch(signature)
        self._tell_memory()

    @classmethod
    def load(
        cls,
        release: Release,
        options: RuntimeOptions = RuntimeOptions(),
        memory: ModelMemory | None = None,
    ) -> Model:
        """Load the model of ``release``, after its bytes were checked.

        Args:
            release: whose model it is.
            options: of the session.
            memory: that it shares with others; without it, it stays loaded.

        Raises:
            ReleaseError: the file differs from the manifest, onnxruntime refuses it, or it has
                other inputs than the manifest.
        """
        make = functools.partial(_session, release, options)
        return cls(release, make(), make, memory)

    @property
    def is_loaded(self) -> bool:
        """Return whether it is in memory now."""
        return self._session is not None

    def on_unload(self, forget: Callable[[], None]) -> None:
        """Have a method called when it is unloaded; it must give up what :meth:`bind` returned.

        Args:
            forget: method of an object that may end before this one.
        """
        living = [reference for reference in self._on_unload if reference() is not None]
        self._on_unload = [*living, WeakMethod(forget)]

    def unload(self) -> None:
        """Free the session once no call needs it any more; the next call makes another."""
        if self._make is None:
            return
        with self._loading:
            self._session, self._call = None, self._load_and_call
        for reference in self._on_unload:
            forget = reference()
            if forget is not None:
                forget()

    def _loaded(self) -> Any:
        """Return the session, made again if it was freed."""
        with self._loading:
            session = self._session
            if session is not None or self._make is None:
                return session
            try:
                session = self._make()
            except ReleaseError as error:
                # It has answered: what is wrong now, its file is.
                raise ReloadError(str(error)) from error
            self._session, self._call = session, _plain_call(session)
        self._tell_memory()
        return session

    def _tell_memory(self) -> None:
        if self._memory is not None:
            self._memory.loaded(self, self._bytes)

    def _load_and_call(self, *arguments: Any) -> Any:
        return _plain_call(self._loaded())(*arguments)

    def run(self, feed: Feed, outputs: Sequence[OutputSpec] | None = None) -> Outputs:
        """Run the model.

        Args:
            feed: input tensors by name, as :class:`InputSchema` makes them.
            outputs: outputs to compute; by default all.

        Returns:
            The outputs by name, batch axis included.

        Raises:
            ReleaseError: the model fails on this input.
        """
        names = self._names if outputs is None else [spec.name for spec in outputs]
        if self._block and row_count(feed, self.manifest.signature) != self._block:
            return self._run_blocks(feed, names, self._block)
        return self._run(feed, names)

    def _run(self, feed: Feed, names: list[str]) -> Outputs:
        try:
            return dict(zip(names, self._call(names, feed, self._options), strict=True))
        except ReloadError:
            raise
        except Exception as error:
            raise ReleaseError(f"the model failed; {error}") from error

    def _run_blocks(self, feed: Feed, names: list[str], size: int) -> Outputs:
        signature = self.manifest.signature
        count = row_count(feed, signature)
        parts = []
        for start in range(0, count, size):
            # Clamped indices repeat the last row until the block is full; the surplus is cut below.
            rows = np.minimum(np.arange(start, start + size), count - 1)
            parts.append(self._run(take_rows(feed, rows, signature), names))
        axes = {spec.name: spec.batch for spec in signature.outputs}
        joined = {n: np.concatenate([part[n] for part in parts], axes[n]) for n in names}
        return {name: a.take(np.arange(count), axes[name]) for name, a in joined.items()}

    def abort(self) -> None:
        """End every running call as soon as onnxruntime looks; later calls fail at once.

        Runs of :meth:`bind` are not affected.
        """
        self._options.terminate = True

    def bind(self, outputs: Sequence[OutputSpec]) -> BoundRow | None:
        """Return bound buffers for single rows that compute ``outputs`` only.

        ``None`` unless the model has one input, and it and the outputs have fixed shapes of
        numbers.

        Raises:
            ReloadError: it was unloaded, and cannot be loaded again.
        """
        signature = self.manifest.signature
        specs: tuple[TensorSpec | OutputSpec, ...] = (*signature.inputs, *outputs)
        if len(signature.inputs) != 1 or not signature.batched or not all(map(_fixed, specs)):
            return None  # _fixed asks for rows along axis 0, too
        # The binding stores raw pointers; the memoryview and the dict of buffers that are returned
        # keep the arrays alive.
        session = self._loaded()
        binding = session.io_binding()
        spec = signature.inputs[0]
        row = _buffer(spec)
        binding.bind_input(spec.name, "cpu", 0, row.dtype, row.shape, row.ctypes.data)
        buffers = {spec.name: _buffer(spec) for spec in outputs}
        for name, buffer in buffers.items():
            binding.bind_output(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        run = _bound_call(session, binding)
        return BoundRow(row.data.cast("B"), run, buffers)


def _session(release: Release, options: RuntimeOptions) -> Any:
    """Return a session of a release's model, whose bytes were checked; raises ReleaseError."""
    path, checked = str(release.model_path), release.verified_model()
    native = session_options(options, release.manifest.runtime.opsets)
    try:
        session = onnxruntime.InferenceSession(checked, native, providers=list(options.providers))
    except Exception as error:
        raise ReleaseError(f"{path}: onnxruntime cannot load it; {error}") from error
    signature = release.manifest.signature
    _check_names(path, "inputs", [x.name for x in session.get_inputs()], signature.inputs)
    _check_names(path, "outputs", [x.name for x in session.get_outputs()], signature.outputs)
    return session


def _plain_call(session: Any) -> Callable[..., Any]:
    """Return ``session.run`` without the checks of onnxruntime's wrapper: 1.1 of 12 µs, measured.

    The schema has checked more than the wrapper does.
    """
    # _sess is private to onnxruntime: where a version does not have it, the wrapper is used.
    try:
        run: Callable[..., Any] = session._sess.run
    except AttributeError:
        run = session.run
    return run


def _bound_call(session: Any, binding: Any) -> Callable[[], None]:
    """Return a run of ``binding`` without the work of onnxruntime's wrapper on each call.

    The wrapper looks after CUDA graphs and makes new run options: 1.1 of 3.5 µs, measured.
    """
    # Private names again, with the wrapper as the fallback.
    try:
        run, bound = session._sess.run_with_iobinding, binding._iobinding
    except AttributeError:
        return functools.partial(session.run_with_iobinding, binding)
    return functools.partial(run, bound, onnxruntime.RunOptions())


def first_row(feed: Feed, signature: Signature) -> Feed:
    """Return the first row of ``feed``, if its tensors have a batch axis."""
    return take_rows(feed, slice(1), signature) if signature.batched else feed


def take_rows(feed: Feed, rows: NDArray[np.intp] | slice, signature: Signature) -> Feed:
    """Return some rows of the input tensors of a batched model; its state stays as it is."""
    axes = {spec.name: spec.batch for spec in signature.application_inputs}
    return {
        name: array[(slice(None),) * axes[name] + (rows,)] if name in axes else array
        for name, array in feed.items()
    }


def row_count(feed: Feed, signature: Signature) -> int:
    """Return the number of rows of input tensors; 1 for a model without a batch axis."""
    first = signature.application_inputs[0]
    return feed[first.name].shape[first.batch] if signature.batched else 1


def fixed_batch(signature: Signature) -> int | None:
    """Return the number of rows that the file takes at a time; ``None`` if any."""
    sizes = [s.shape[s.batch] for s in signature.application_inputs] if signature.batched else []
    return next((size for size in sizes if size is not None), None)


def _fixed(spec: TensorSpec | OutputSpec) -> bool:
    one_row = spec.batch == 0 and spec.shape[:1] in ((None,), (1,))
    return one_row and spec.dtype != "string" and None not in spec.shape[1:]


def _buffer(spec: TensorSpec | OutputSpec) -> NDArray[Any]:
    shape = (1, *(size or 0 for size in spec.shape[1:]))
    return np.zeros(shape, dtype=spec.dtype)


def _check_names(
    path: str, what: str, names: list[str], specs: tuple[TensorSpec | OutputSpec, ...]
) -> None:
    expected = [spec.name for spec in specs]
    if sorted(names) != sorted(expected):
        raise ReleaseError(f"{path}: expected the {what} {expected}, found {names}")


def runtime_version() -> str:
    """Return the version of onnxruntime on this machine."""
    return str(onnxruntime.__version__)
