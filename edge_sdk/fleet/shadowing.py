"""The opening of a shadow beside what serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.experiments.crash_marker import CrashMarker
    from edge_sdk.experiments.shadow import Shadow
    from edge_sdk.model.release import Release
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.serving.terms import ServingTerms


class Shadowing:
    """Method of the releases of a model that opens a shadow."""

    clock: Callable[[], float]
    _config: DeviceConfig

    def current(self) -> Predictor:
        """Return what serves."""
        raise NotImplementedError

    if TYPE_CHECKING:

        @property
        def open(self) -> Callable[..., Predictor]:
            """Load a release, ready to answer."""

    def shadow(
        self,
        candidate: Release,
        terms: ServingTerms,
        sampled: float = 1.0,
        marker: CrashMarker | None = None,
    ) -> Shadow:
        """Return a shadow of what serves.

        Args:
            candidate: answers the same inputs.
            terms: under which it is reported.
            sampled: share of the requests that are given to it, 0 to 1.
            marker: outlives the process, should the candidate end it.

        Raises:
            ReleaseError: nothing serves, or the candidate does not load or takes other inputs.
        """
        from edge_sdk.experiments.shadow import Shadow

        incumbent = self.current()
        return Shadow(
            terms.arm,
            incumbent,
            self.open(incumbent.release, incumbent.terms, monitoring=False),
            self.open(candidate, terms, monitoring=False, alone=True),  # it may be aborted
            sampled=sampled, budget=self._config.shadow_share, limit=self._config.shadow_seconds,
            clock=self.clock, marker=marker,
        )  # fmt: skip
