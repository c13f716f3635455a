"""onnxruntime: its sessions, its execution providers, its version. No other module imports it.

Invariant: a session runs on the providers that were asked for or not at all. onnxruntime alone
would go on with the CPU where one is missing, does not start, or fails.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError, RuntimeMissing

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise RuntimeMissing from error

if TYPE_CHECKING:
    from edge_sdk.model.options import RuntimeOptions

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
    native.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if CPU not in options.providers:
        # Else nodes that a provider does not take would go to the CPU without a word.
        native.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
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


def new_session(
    path: str, model: bytes | str, options: RuntimeOptions, domains: Iterable[str]
) -> Any:
    """Return a session on the providers of ``options``.

    Args:
        path: of the model, for errors.
        model: its bytes, or the path once more, to be loaded from there.
        options: threads and providers; the first has to run it.
        domains: of the model's operators.

    Raises:
        ReleaseError: onnxruntime cannot load it; the first provider is missing or does not start.
    """
    options = _available(options)
    native = session_options(options, domains)
    given = [dict(options.provider_options.get(name, {})) for name in options.providers]
    try:
        with warnings.catch_warnings():  # of providers that are missing: that is an error here
            warnings.simplefilter("ignore")
            session = onnxruntime.InferenceSession(
                model, native, list(options.providers), given, enable_fallback=0
            )
    except Exception as error:
        raise ReleaseError(f"{path}: onnxruntime cannot load it; {error}") from error
    # A provider that does not start is left out with a line on standard error.
    if options.providers[0] not in session.get_providers():
        raise ReleaseError(
            f"{options.providers[0]} does not start here: its libraries, its driver or its device "
            f"are missing, or its options {given[0]} do not fit"
        )
    return session


def _available(options: RuntimeOptions) -> RuntimeOptions:
    """Return ``options`` with the providers that are installed; raises ReleaseError.

    The first has to be: what is to run on the others is only what that one does not take.
    """
    available = available_providers()
    first = options.providers[0]
    if first not in available:
        raise ReleaseError(
            f"the installed onnxruntime {onnxruntime.__version__} has no {first}; it has "
            f"{', '.join(available)}"
        )
    return replace(options, providers=tuple(p for p in options.providers if p in available))


def available_providers() -> list[str]:
    """Return the execution providers of the onnxruntime that is installed."""
    return list(onnxruntime.get_available_providers())


def known_providers() -> list[str]:
    """Return every execution provider that onnxruntime has a name for, installed or not."""
    return list(dict.fromkeys((*onnxruntime.get_all_providers(), *available_providers())))


def runtime_facts() -> dict[str, str]:
    """Return what is known of the runtime that is installed and of the devices that it sees."""
    facts = {
        "onnxruntime": str(onnxruntime.__version__),
        "build": str(getattr(onnxruntime, "get_build_info", str)()),
        "providers": ",".join(available_providers()),
    }
    try:
        devices = onnxruntime.get_ep_devices()  # from 1.23 on
    except Exception:  # of a driver, perhaps: it is not asked for more than a name here
        return facts
    for i, each in enumerate(devices):
        told = (each.ep_name, dict(each.ep_metadata), each.device.device_id)
        facts[f"device {i}"] = f"{told}; {dict(each.device.metadata)}"
    return facts


def nodes_by_provider(session: Any) -> Mapping[str, int] | None:
    """Return the number of nodes of the graph that each provider runs; ``None`` where onnxruntime,
    before 1.24, does not tell.
    """
    try:
        parts = session.get_provider_graph_assignment_info()
    except AttributeError:
        return None
    nodes: Counter[str] = Counter()
    for part in parts:
        nodes[part.ep_name] += len(part.get_nodes())
    return dict(nodes)


def plain_call(session: Any) -> Callable[..., Any]:
    """Return ``session.run`` without the checks of onnxruntime's wrapper: 1.1 of 12 µs, measured.

    The schema has checked more than the wrapper does.
    """
    # _sess is private to onnxruntime: where a version does not have it, the wrapper is used.
    try:
        run: Callable[..., Any] = session._sess.run
    except AttributeError:
        run = session.run
    return run


def bound_call(session: Any, binding: Any) -> Callable[[], None]:
    """Return a run of ``binding`` without the work of onnxruntime's wrapper on each call.

    The wrapper looks after CUDA graphs and makes new run options: 1.1 of 3.5 µs, measured.
    """
    # Private names again, with the wrapper as the fallback.
    try:
        run, bound = session._sess.run_with_iobinding, binding._iobinding
    except AttributeError:
        return functools.partial(session.run_with_iobinding, binding)
    return functools.partial(run, bound, onnxruntime.RunOptions())


def runtime_version() -> str:
    """Return the version of onnxruntime on this machine."""
    return str(onnxruntime.__version__)


def run_options() -> Any:
    """Return options of calls, by which running ones can be ended."""
    return onnxruntime.RunOptions()
