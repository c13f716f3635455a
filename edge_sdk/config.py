"""Limits and intervals of the device, each with its unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from edge_sdk.errors import InputError
from edge_sdk.system.providers import DEFAULT_PROVIDERS, ProviderChoice, wrong_providers
from edge_sdk.system.windows import parse_windows

Providers = Iterable[ProviderChoice] | None
"""Execution providers in order of preference, each by its name, or as a pair with its options."""


@dataclass(frozen=True)
class DeviceConfig:
    """Limits and intervals of one device; every field has a default.

    Raises:
        InputError: a value of the wrong type or out of range.
    """

    sync_seconds: float = 60.0
    """Seconds between two background syncs; each is jittered by up to a fifth."""

    push: bool = False
    """Wait at the hub for news between two syncs, so that a new plan is here within a second of its
    publication. It costs a connection that is kept open, so a device on a battery or a metered
    network polls all the same; so does one whose hub, or a proxy before it, lets nobody wait."""

    retry_seconds: float = 5.0
    """First upper bound of the seconds after a failed sync; doubles up to ``retry_max_seconds``."""

    retry_max_seconds: float = 900.0

    heartbeat_seconds: float = 3_600.0
    """Longest time between two check-ins; one is also sent whenever something changed."""

    fold_seconds: float = 0.1
    """Seconds between two rounds of the telemetry thread, which empties a ring of 16,384
    predictions: beyond 160,000 predictions a second some go uncounted; the report has their
    number."""

    thrifty_sync_seconds: float = 900.0
    """Least seconds between two background syncs on a battery or a metered network."""

    thrifty_fold_seconds: float = 1.0
    """Seconds between two rounds of the telemetry thread on a battery: fewer wake-ups, and beyond
    16,000 predictions a second some go uncounted; the report has their number."""

    monitoring: bool = True
    """Count predictions. Without it nothing is reported, no label can be matched with its
    prediction, and a shadow gets no inputs."""

    kept_predictions: int = 1_000
    """Predictions of each window, the newest ones, that are stored for labels that arrive after a
    restart; 0 stores none."""

    shared_tensor_bytes: int = 0
    """Compressed bytes a window that the device shares of labelled inputs that are no table, such
    as pictures, where its owner agreed to share and the plan asks; 0 shares none of them."""

    free_bytes: int = 32 << 20
    """Bytes of the disk that a pack of answers by entity leaves free; one that would not is not
    downloaded, and the status says so."""

    threads: int = 1
    """Threads that onnxruntime may use for one prediction."""

    memory_bytes: int = 0
    """Bytes of model files that may be loaded at once; 0 for all. Beyond it the models that were
    not used for longest are unloaded, and loaded again when they are asked. Each round of
    the telemetry thread notes which were used."""

    providers: tuple[ProviderChoice, ...] = DEFAULT_PROVIDERS
    """Execution providers of the installed onnxruntime that may run models, in order of
    preference: names, or pairs of a name and its options. Of a release's variants and these the
    device takes the fastest that answers right here; what is not among them never runs a node."""

    outbox_bytes: int = 64 << 20
    """Bytes of messages that wait for the hub; beyond it the oldest are dropped and counted."""

    request_seconds: float = 10.0
    """Connect and read timeout of requests other than predictions."""

    bytes_per_second: int = 0
    """Bytes a second that downloads may take of the network; 0 for all that there is."""

    update_windows: tuple[str, ...] = ()
    """Local times in which updates may be downloaded and activated, such as ``"22:00-06:00"`` or
    ``"mon-fri 01:00-05:00"``; none for always. A device whose clock is behind what the hub signed
    has no windows."""

    update_defer_seconds: float = 604_800.0
    """Seconds that the application (``on_update``) and a metered network may put one release off;
    then it comes all the same."""

    conversation_seconds: float = 120.0
    """Seconds that the small requests of one sync may take together: metadata, plan, check-in.
    Where they would take longer the sync ends, and the next one goes on. Downloads and uploads are
    not counted as long as they get on."""

    trial_errors: int = 3
    """Failed model calls within ``trial_seconds`` after which a device goes back a release."""

    trial_seconds: float = 600.0

    logs: bool = False
    """Let the hub have the newest lines of this device's log where one of its operators asks for
    them: of the SDK alone, without traces, and without the values that messages quote."""

    health_file: str = ""
    """Path of a file that says how the device is, such as ``/run/edge/health.json``; none where it
    is empty. On flash it costs a writing each time: better a file system in memory."""

    health_seconds: float = 10.0
    """Seconds between two writings of ``health_file``."""

    shadow_share: float = 0.1
    """Share of one thread's time that a shadow may use; inputs beyond it are skipped and
    counted."""

    shadow_seconds: float = 10.0
    """Seconds after which a shadow's call counts as hanging: it is aborted, and the candidate
    fails."""

    def __post_init__(self) -> None:
        for field in fields(self):
            expected = _expected(field.name, type(field.default), getattr(self, field.name))
            if expected:
                value = getattr(self, field.name)
                raise InputError("opening", f"{field.name}: expected {expected}, got {value!r:.60}")

    def with_providers(self, providers: Providers) -> DeviceConfig:
        """Return the same with other execution providers; with its own if there are ``None``.

        Raises:
            InputError: they are no providers.
        """
        if providers is None:
            return self
        chosen: Any = providers
        # A text is an iterable, too, and its letters would be blamed one by one.
        if isinstance(providers, Iterable) and not isinstance(providers, str):
            chosen = tuple(providers)
        return replace(self, providers=chosen)


MAY_BE_NONE: Final = (
    "kept_predictions", "bytes_per_second", "memory_bytes", "shared_tensor_bytes",
)  # fmt: skip
"""Whole numbers of :class:`DeviceConfig` that may be 0."""


def check_opening(config: Any, share: Any = False, providers: Providers = None) -> DeviceConfig:
    """Refuse a ``config`` that is no DeviceConfig, and a ``share`` that is not a bool.

    Args:
        config: of the device.
        share: the owner agrees to share labelled rows.
        providers: in place of those of ``config``; ``None`` for its own.

    Returns:
        The configuration with these providers.

    Raises:
        InputError: one of them.
    """
    if not isinstance(config, DeviceConfig):
        raise InputError("opening", f"config: expected a DeviceConfig, got {config!r:.60}")
    if not isinstance(share, bool):
        raise InputError("opening", f"share: expected True or False, got {share!r:.60}")
    return config.with_providers(providers)


def _expected(name: str, kind: type, value: Any) -> str:
    """Return the description that ``value`` does not meet; empty if it is valid."""
    if name == "providers":
        return wrong_providers(value)
    if kind is tuple:
        return _unparsable(value)
    if kind is str:
        return "" if isinstance(value, str) and "\0" not in value else "a text"
    # bool is a subclass of int: without the first two tests True would pass as a number.
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return "an integer" if kind is int else "a number"
    if name == "shadow_share":
        return "" if 0 < value <= 1 else "more than 0 and at most 1"
    if kind is int:
        least = 0 if name in MAY_BE_NONE else 1
        return "" if value >= least else f"at least {least}"
    return "" if 0 < value < math.inf else "more than 0"


def _unparsable(value: Any) -> str:
    if not isinstance(value, tuple):
        return "a tuple of texts"
    try:
        parse_windows(value)
    except InputError:
        return 'texts such as "22:00-06:00" or "mon-fri 01:00-05:00"'
    return ""
