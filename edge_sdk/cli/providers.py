"""Execution providers on the command line: ``--providers openvino,cpu``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge_sdk.system.providers import ProviderChoice

_SUFFIX: Final = "ExecutionProvider"


def add_provider_options(command: argparse.ArgumentParser) -> None:
    """Add ``--providers`` and ``--provider-option`` to a command."""
    command.add_argument(
        "--providers",
        metavar="NAMES",
        help="execution providers of onnxruntime that may run the model, in order of preference: "
        "openvino,cpu (default: those of last time, else cpu)",
    )
    command.add_argument(
        "--provider-option",
        action="append",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="an option of a provider, such as openvino.device_type=GPU; may be repeated",
    )


def providers_of(arguments: argparse.Namespace) -> list[ProviderChoice] | None:
    """Return the providers that the command line names; ``None`` if it names none.

    Raises:
        InputError: one is unknown to onnxruntime, or an option is none.
    """
    names = getattr(arguments, "providers", None)
    given = getattr(arguments, "provider_option", [])
    if names is None:
        if given:
            raise _wrong("--provider-option needs --providers, which names the provider")
        return None
    providers = [_full_name(name) for name in names.split(",")]
    options: dict[str, dict[str, str]] = {name: {} for name in providers}
    for text in given:
        name, dot, rest = text.partition(".")
        key, equals, value = rest.partition("=")
        if not dot or not equals or not key:
            raise _wrong(f"--provider-option: expected NAME.KEY=VALUE, got {text!r:.60}")
        if _full_name(name) not in options:
            raise _wrong(f"--provider-option: {name} is none of --providers {names}")
        options[_full_name(name)][key] = value
    return [(name, options[name]) if options[name] else name for name in providers]


def _full_name(name: str) -> str:
    """Return the provider that is meant: ``openvino`` for ``OpenVINOExecutionProvider``."""
    from edge_sdk.model.runtime import known_providers

    known = known_providers()
    wanted = name.strip().lower().removesuffix(_SUFFIX.lower())
    for each in known:
        if each.removesuffix(_SUFFIX).lower() == wanted:
            return each
    short = ", ".join(each.removesuffix(_SUFFIX).lower() for each in known)
    raise _wrong(f"--providers: onnxruntime knows no {name.strip()!r:.60}; it knows {short}")


def _wrong(message: str) -> Exception:
    from edge_sdk.errors import InputError

    return InputError("opening", message)
