"""Options of the runtime session, without the runtime: who asks for them need not load it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edge_sdk.system.providers import DEFAULT_PROVIDERS, named

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig


@dataclass(frozen=True)
class RuntimeOptions:
    """Settings of one session.

    Attributes:
        threads: threads that onnxruntime may use for one call.
        providers: execution providers in order of preference.
        provider_options: options by the provider's name; nothing for those without.
    """

    threads: int = 1
    providers: tuple[str, ...] = DEFAULT_PROVIDERS
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DeviceConfig) -> RuntimeOptions:
        """Return the options that the device's configuration asks for."""
        pairs = [named(choice) for choice in config.providers]
        options = {name: values for name, values in pairs if values}
        return cls(config.threads, tuple(name for name, _ in pairs), options)

    def permitted(self, providers: Collection[str]) -> RuntimeOptions:
        """Return the options with those providers alone that ``providers`` names too.

        Args:
            providers: that a plan permits; none for all.
        """
        if not providers:
            return self
        both = tuple(name for name in self.providers if name in providers)
        return replace(self, providers=both)

    def beginning_with(self, provider: str | None) -> RuntimeOptions:
        """Return the options of a session that prefers ``provider``.

        What it cannot run goes to those after it in this device's order, and to none before it.
        ``None`` stands for the first one.
        """
        if provider not in self.providers:
            return self
        return replace(self, providers=self.providers[self.providers.index(provider) :])
