"""Execution providers of onnxruntime as a configuration names them; the runtime is not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge_sdk.contract.names import CPU, is_provider

DEFAULT_PROVIDERS: Final = (CPU,)
"""Execution providers, in order of preference."""

ProviderChoice = str | tuple[str, Mapping[str, Any]]
"""An execution provider by its name, or with its options, as onnxruntime takes them."""


def named(choice: ProviderChoice) -> tuple[str, dict[str, str]]:
    """Return the name of a provider and its options as texts."""
    if isinstance(choice, str):
        return choice, {}
    return choice[0], {key: str(value) for key, value in choice[1].items()}


def wrong_providers(choices: Any) -> str:
    """Return the description that ``choices`` do not meet; empty if they are valid.

    Args:
        choices: of providers, each a :data:`ProviderChoice`.
    """
    if not isinstance(choices, tuple) or not choices:
        return "at least one execution provider, in order of preference"
    if not all(map(_is_choice, choices)):
        return (
            'names such as "OpenVINOExecutionProvider", or pairs of a name and its options, such '
            'as ("CUDAExecutionProvider", {"device_id": 0})'
        )
    names = [named(choice)[0] for choice in choices]
    return "" if len(set(names)) == len(names) else "each execution provider once"


def _is_choice(choice: Any) -> bool:
    name, options = choice if isinstance(choice, tuple) and len(choice) == 2 else (choice, {})
    if not isinstance(name, str) or not is_provider(name) or not isinstance(options, Mapping):
        return False
    plain = (str, int, float)  # bool is an int
    return all(isinstance(k, str) and isinstance(v, plain) for k, v in options.items())
