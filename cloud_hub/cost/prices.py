"""What an organisation pays for what a hub uses: the file ``prices.yaml`` of its data folder.

::

    currency: EUR
    core_hour: 0.04         # of trainings and batch answers
    gigabyte_sent: 0.08     # by the hub to devices; 10^9 bytes
    gigabyte_of_bucket: 0.09 # by the bucket to devices, at most
    gigabyte_month: 0.02    # stored; 30 days
    thousand_answers: 0.35  # of the model in the cloud

Without the file, or without one of its prices, there are quantities and no money.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from cloud_hub.errors import Invalid
from cloud_hub.text.yaml import read_yaml, text_of

FILE: Final = "prices.yaml"
LIMIT: Final = 64 << 10


@dataclass(frozen=True)
class PriceTable:
    """Prices in one currency; ``None`` for what nobody has put a price on.

    Attributes:
        currency: such as ``EUR``, for people.
        core_hour: an hour of one core.
        gigabyte_sent: 10^9 bytes that the hub sends to devices.
        gigabyte_of_bucket: 10^9 bytes that a bucket sends to devices.
        gigabyte_month: 10^9 bytes stored for 30 days.
        thousand_answers: 1,000 answers of the model in the cloud.
    """

    currency: str = ""
    core_hour: float | None = None
    gigabyte_sent: float | None = None
    gigabyte_month: float | None = None
    thousand_answers: float | None = None
    gigabyte_of_bucket: float | None = None


def read_prices(data: Path) -> PriceTable | None:
    """Return the prices of a hub, ``None`` where it has no such file; raises Invalid."""
    try:
        raw = (data / FILE).read_bytes()[:LIMIT]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Invalid(f"{FILE}: cannot be read; {error.strerror}") from error
    prices = read_yaml(PriceTable, text_of(raw, FILE), FILE)
    for name in (field.name for field in fields(PriceTable) if field.name != "currency"):
        value = getattr(prices, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise Invalid(f"{FILE}: {name}: expected a price, 0 or more, got {value}")
    return prices
