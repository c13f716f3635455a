"""The streams on which detectors and deciders stand side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.statistics.samples import Floats, Sample

WINDOWS: Final = 8
CHANGE: Final = 4
"""Window with which a change begins, where there is one."""

TRAINING: Final = 10_000


@dataclass(frozen=True)
class Values:
    """Windows of a feature on ``devices`` with ``rows`` rows each, normal over all fleets.

    ``apart`` is the standard deviation between devices, ``serial`` the correlation of a row with
    the one before on its device. From window :data:`CHANGE` on a share ``moved`` of the devices is
    shifted by ``shift`` standard deviations.
    """

    name: str
    devices: int
    rows: int
    apart: float = 0.0
    serial: float = 0.0
    moved: float = 0.0
    shift: float = 0.0

    @property
    def changes(self) -> bool:
        """True if there is anything to be found."""
        return self.moved > 0

    def draw(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Reference [TRAINING] and windows [WINDOWS, devices, rows]."""
        own = self.apart * random.standard_normal((1, self.devices, 1))
        noise = self._noise(random).reshape(self.devices, WINDOWS, self.rows).swapaxes(0, 1)
        values = (own + noise) / np.sqrt(1 + self.apart**2)
        moved = round(self.moved * self.devices)
        values[CHANGE:, :moved] += self.shift
        return random.standard_normal(TRAINING), values

    def _noise(self, random: np.random.Generator) -> Floats:
        """Stationary and autoregressive, [devices, rows of all windows]."""
        fresh = random.standard_normal((self.devices, WINDOWS * self.rows))
        if not self.serial:
            return fresh
        scale = np.sqrt(1 - self.serial**2)
        for i in range(1, fresh.shape[1]):
            fresh[:, i] = self.serial * fresh[:, i - 1] + scale * fresh[:, i]
        return fresh


STREAMS: Final = (
    Values("40 devices alike, 50 rows each", 40, 50),
    Values("5 devices that differ (0.3 sd), 400 rows each", 5, 400, apart=0.3),
    Values("40 devices that differ (0.3 sd), 50 rows each", 40, 50, apart=0.3),
    Values("one device, 2,000 rows, serially correlated .9", 1, 2_000, serial=0.9),
    Values("one device, 2,000 rows, serially correlated .99", 1, 2_000, serial=0.99),
    Values("40 devices that differ, all shifted by 0.4 sd", 40, 50, 0.3, moved=1.0, shift=0.4),
    Values("100 devices that differ, 10 of them shifted by 2 sd", 100, 200, 0.3, 0.0, 0.1, 2.0),
)


@dataclass(frozen=True)
class Errors:
    """Errors of 0.10 in windows of 20 labels; from window ``change`` on of ``after``."""

    name: str
    after: float = 0.1
    windows: int = 500
    change: int = 100

    @property
    def changes(self) -> bool:
        """True if there is anything to be found."""
        return self.after != 0.1

    def draw(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Reference [TRAINING] and windows [windows, 1, 20]."""
        rates = np.where(np.arange(self.windows) < self.change, 0.1, self.after)
        windows = random.random((self.windows, 1, 20)) < rates[:, None, None]
        return (random.random(TRAINING) < 0.1).astype(float), windows.astype(float)


ERRORS: Final = (Errors("errors stay at .10"), Errors("errors rise from .10 to .20", 0.2))


@dataclass(frozen=True)
class Arms:
    """Two arms of devices, which are right 80% of the time: ``control`` and ``candidate`` of them.

    Two labels of a device are correlated, the log of devices' traffic has standard deviation
    ``traffic``, and the candidate is right ``gain`` more often.
    """

    name: str
    control: int
    candidate: int
    correlation: float
    traffic: float = 0.0
    gain: float = 0.0

    def draw(self, random: np.random.Generator, looks: int = 10) -> tuple[Sample, Sample]:
        """Both arms at every look, [looks, devices]."""
        devices = self.control + self.candidate
        tried = np.arange(devices) >= self.control
        spread = (1 - self.correlation) / self.correlation
        own = random.beta(0.8 * spread, 0.2 * spread, devices)
        busy = 20 * np.exp(self.traffic * random.standard_normal(devices))
        labels = random.poisson(busy, (looks, devices))
        n = np.cumsum(labels, axis=0).astype(float)
        right = np.clip(own + self.gain * tried, 0, 1)
        total = np.cumsum(random.binomial(labels, right), axis=0).astype(float)
        return (
            Sample.of_successes(total * ~tried, n * ~tried),
            Sample.of_successes(total * tried, n * tried),
        )


ARMS: Final = (
    Arms("A/A, 95 and 5 devices, correlation .1", 95, 5, 0.1),
    Arms("A/A, 9 and 1 devices, correlation .1", 9, 1, 0.1),
    Arms("A/A, 50 and 50 devices, correlation .1, traffic lognormal(1.5)", 50, 50, 0.1, 1.5),
    Arms("A/A, 100 and 100 devices, correlation .05", 100, 100, 0.05),
    Arms("A/A, 100 and 100 devices, correlation .001", 100, 100, 0.001),
    Arms("better by 5 points, 100 and 100 devices, correlation .01", 100, 100, 0.01, gain=0.05),
    Arms("better by 5 points, 20 and 20 devices, correlation .001", 20, 20, 0.001, gain=0.05),
)
