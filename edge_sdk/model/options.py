"""Options of the runtime session, without the runtime: who asks for them need not load it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.manifest import CPU

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig

DEFAULT_PROVIDERS: Final = (CPU,)
"""Execution providers of onnxruntime, in order of preference."""


@dataclass(frozen=True)
class RuntimeOptions:
    """Settings of one session.

    Attributes:
        threads: threads that onnxruntime may use for one call.
        providers: execution providers in order of preference.
    """

    threads: int = 1
    providers: tuple[str, ...] = DEFAULT_PROVIDERS

    @classmethod
    def of(cls, config: DeviceConfig) -> RuntimeOptions:
        """Return the options that the device's configuration asks for."""
        return cls(threads=config.threads)
