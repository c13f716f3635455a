"""The model of a release, loaded.

Invariants:

* One session per release, shared by all threads; buffers and bindings belong to one thread.
* A session that was freed (:meth:`Model.unload`) is made again by the next call, from bytes that
  are checked again. Bytes that are others by then are the disk's fault (:class:`ReloadError`); a
  session that cannot be made of the right ones is the model's or its provider's.
* No node runs on a provider that the release does not have (:attr:`Release.providers`).
* A model whose file fixes the batch (``[8, …]``) takes any number of rows here: they are run in
  blocks, and the last block is filled up with its last row.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError, ReloadError
from edge_sdk.model.lean_graph import without_output
from edge_sdk.model.native_forest import native_forest
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.outputs import derived_label, needed_outputs
from edge_sdk.model.runtime import (
    bound_call,
    new_session,
    nodes_by_provider,
    plain_call,
    run_options,
)
from edge_sdk.system.providers import DEFAULT_PROVIDERS

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Manifest, OutputSpec, Signature, TensorSpec
    from edge_sdk.model.memory import ModelMemory
    from edge_sdk.model.release import Feed, Release

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class BoundRow:
    """Buffers of one row, bound to the session once; they belong to one thread.

    Attributes:
        place: bytes of the input buffer: write a row here, in the input's dtype, C order.
        run: runs the model from ``place`` into ``outputs``; raises what onnxruntime raises.
        outputs: output buffers by name, batch axis of one; the next run overwrites them.
        joined: input and one output in one piece, where :meth:`Model.bind` was asked for that.
    """

    place: memoryview
    run: Callable[[], None]
    outputs: Outputs
    joined: NDArray[np.float32] | None = None


class Loaded(NamedTuple):
    """A session, and the compiled forest that answers its bound rows; ``None`` for none."""

    session: Any
    forest: Any | None


class Model:
    """An ONNX model in memory, or (:meth:`unload`) on the disk until it is called again.

    Attributes:
        provider: execution provider that was asked for first.
        nodes: of the graph by the provider that runs them, as of the last loading; ``None`` where
            onnxruntime, before 1.24, does not tell.

    Args:
        release: whose model it is.
        session: loaded.
        make: makes another session of the checked file, as :meth:`load` does; without it this one
            stays in memory.
        memory: is told of every loading, and unloads models that are too many.
        outputs: that the session computes; by default all of the release.
    """

    def __init__(
        self,
        release: Release,
        session: Any,
        make: Callable[[bytes | str], Loaded] | None = None,
        memory: ModelMemory | None = None,
        outputs: Sequence[OutputSpec] | None = None,
    ) -> None:
        self.manifest: Manifest = release.manifest
        self._read, self._make = release.verified_model, make
        self._memory, self._bytes = memory, release.model_bytes
        self._loading = threading.Lock()
        self._on_unload: list[WeakMethod[Callable[[], None]]] = []
        self._session = session
        self._call = plain_call(session)
        signature = release.manifest.signature
        self._names = [spec.name for spec in outputs or signature.outputs]
        self._options = run_options()
        self._block = fixed_batch(signature)
        self._forest: Any | None = None
        self.provider: str = session.get_providers()[0]
        self.nodes = nodes_by_provider(session)
        self._tell_memory()

    @property
    def placement(self) -> dict[str, Any]:
        """Return ``provider`` and ``nodes``, for the status."""
        return {"provider": self.provider, "nodes": self.nodes}

    @classmethod
    def load(
        cls,
        release: Release,
        options: RuntimeOptions = RuntimeOptions(),
        memory: ModelMemory | None = None,
        *,
        lean: bool = False,
    ) -> Model:
        """Load the model of ``release``, after its bytes were checked.

        Args:
            release: whose model it is.
            options: of the session.
            memory: that it shares with others; without it, it stays loaded.
            lean: leave out a label that follows from the probabilities, and what computes it.

        Raises:
            ReleaseError: the file differs from the manifest, onnxruntime refuses it, it has other
                inputs than the manifest, or a provider does not run it.
        """
        make = functools.partial(_session, release, options, lean=lean)
        session, forest = make(release.verified_model())
        outputs = needed_outputs(release.manifest) if lean else None
        model = cls(release, session, make, memory, outputs)
        model._forest = forest
        return model

    @property
    def is_loaded(self) -> bool:
        """Return whether it is in memory now."""
        return self._session is not None

    def on_unload(self, forget: Callable[[], None]) -> None:
        """Have a method called when it is unloaded; it must give up what :meth:`bind` returned.

        Args:
            forget: method of an object that may end before this one.
        """
        with self._loading:  # two that are opened at once must not lose each other
            living = [reference for reference in self._on_unload if reference() is not None]
            self._on_unload = [*living, WeakMethod(forget)]

    def unload(self) -> None:
        """Free the session once no call needs it any more; the next call makes another."""
        if self._make is None:
            return
        with self._loading:
            self._session, self._call, self._forest = None, self._load_and_call, None
        for reference in self._on_unload:
            forget = reference()
            if forget is not None:
                forget()

    def _loaded(self) -> Any:
        """Return the session, made again if it was freed.

        Raises:
            ReloadError: its file cannot be read any more.
            ReleaseError: the file is right, and the runtime or the provider does not load it.
        """
        with self._loading:
            session = self._session
            if session is not None or self._make is None:
                return session
            try:
                checked = self._read()
            except ReleaseError as error:
                raise ReloadError(str(error)) from error
            session, self._forest = self._make(checked)
            self._session, self._call = session, plain_call(session)
            self.nodes = nodes_by_provider(session)
        self._tell_memory()
        return session

    def _tell_memory(self) -> None:
        if self._memory is not None:
            self._memory.loaded(self, self._bytes)

    def _load_and_call(self, *arguments: Any) -> Any:
        return plain_call(self._loaded())(*arguments)

    def run(self, feed: Feed, outputs: Sequence[OutputSpec] | None = None) -> Outputs:
        """Run the model.

        Args:
            feed: input tensors by name, as :class:`InputSchema` makes them.
            outputs: outputs to compute; by default all that were loaded.

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

    def bind(self, outputs: Sequence[OutputSpec], behind: str | None = None) -> BoundRow | None:
        """Return bound buffers for single rows that compute ``outputs`` only.

        ``None`` unless the model has one input, and it and the outputs have fixed shapes of
        numbers.

        Args:
            outputs: to compute.
            behind: output whose buffer lies right behind the input's, both float32.

        Raises:
            ReloadError: it was unloaded, and its file cannot be read any more.
            ReleaseError: it was unloaded, and does not load again.
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
        row, joined = _buffer(spec), None
        buffers = {spec.name: _buffer(spec) for spec in outputs}
        if behind is not None:
            row, buffers[behind], joined = _one_piece(row, buffers[behind])
        binding.bind_input(spec.name, "cpu", 0, row.dtype, row.shape, row.ctypes.data)
        for name, buffer in buffers.items():
            binding.bind_output(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        run = bound_call(session, binding)
        if self.provider != CPU:
            # Binding copies an input to the provider's memory: what is written into the buffer
            # afterwards is only seen there if it is bound once more.
            bind = functools.partial(
                binding.bind_input, spec.name, "cpu", 0, row.dtype, row.shape, row.ctypes.data
            )
            run = functools.partial(_bind_and_run, bind, run)
        if self._forest is not None and len(buffers) == 1:
            run = self._forest.bind(row, *buffers.values()).run
        return BoundRow(row.data.cast("B"), run, buffers, joined)


def _session(
    release: Release, options: RuntimeOptions, checked: bytes | str, *, lean: bool
) -> Loaded:
    """Return a session of a release's model; raises ReleaseError.

    Args:
        release: whose model it is.
        options: of the session.
        checked: the file, as :meth:`Release.verified_model` returns it.
        lean: as :meth:`Model.load` has it.
    """
    path, label = str(release.model_path), derived_label(release.manifest)
    signature = release.manifest.signature
    if lean and label is not None and isinstance(checked, bytes):
        checked = without_output(checked, label.name)
    options = options.permitted(release.providers or ()).beginning_with(release.provider)
    session = new_session(path, checked, options, release.manifest.runtime.opsets)
    _check_names(path, "inputs", [x.name for x in session.get_inputs()], signature.inputs)
    found = [x.name for x in session.get_outputs()]
    if lean and label is not None and label.name not in found:
        found.append(label.name)
    _check_names(path, "outputs", found, signature.outputs)
    alone = lean and options.threads == 1 and session.get_providers() == list(DEFAULT_PROVIDERS)
    return Loaded(session, _forest(checked, session, release.manifest) if alone else None)


def _forest(checked: bytes | str, session: Any, manifest: Manifest) -> Any | None:
    """Return the model as compiled code, where it is a forest that this can answer."""
    inputs, outputs = manifest.signature.inputs, needed_outputs(manifest)
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    given, features = inputs[0], inputs[0].shape[-1] if len(inputs[0].shape) == 2 else None
    if given.dtype != "float32" or not features:
        return None
    name = outputs[0].name
    return native_forest(checked, features, lambda row: session.run([name], {given.name: row})[0])


def _bind_and_run(bind: Callable[[], None], run: Callable[[], None]) -> None:
    bind()
    run()


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


def _one_piece(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Return two buffers that are one piece of memory, and the whole of it."""
    joined = np.zeros(first.size + second.size, np.float32)
    return (
        joined[: first.size].reshape(first.shape),
        joined[first.size :].reshape(second.shape),
        joined,
    )


def _check_names(
    path: str, what: str, names: list[str], specs: tuple[TensorSpec | OutputSpec, ...]
) -> None:
    expected = [spec.name for spec in specs]
    if sorted(names) != sorted(expected):
        raise ReleaseError(f"{path}: expected the {what} {expected}, found {names}")
