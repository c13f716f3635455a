"""What did we know of a driver when an order was given? Asked beside Feast's layout.

    python -m examples.drivers

Feast's quickstart has a Parquet file of driver statistics by the hour, some of them written twice,
and asks for them as of the moments of orders. The same file is imported here, the same entities are
joined, and what is exported is a file that Feast's ``FileSource`` reads.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cloud_hub.features.row_files import read_rows
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings

DECLARATION: Final = Path(__file__).with_name("driver_hourly_stats.yaml")
DRIVERS: Final = (1001, 1002, 1003, 1004, 1005)
END: Final = pd.Timestamp("2024-03-01", tz="UTC")


def driver_stats(hours: int = 24 * 15, seed: int = 0) -> pd.DataFrame:
    """Return N rows as the quickstart's ``driver_stats.parquet`` has them.

    One hour of each driver stands there twice: the row that was written later counts.
    """
    rng = np.random.default_rng(seed)
    moments = pd.date_range(end=END, periods=hours, freq="h")
    parts = [
        pd.DataFrame(
            {
                "event_timestamp": moments,
                "driver_id": driver,
                "conv_rate": rng.random(hours).astype(np.float32),
                "acc_rate": rng.random(hours).astype(np.float32),
                "avg_daily_trips": rng.integers(0, 1_000, hours, dtype=np.int32),
                "created": END,
            }
        )
        for driver in DRIVERS
    ]
    late = [part.iloc[[hours // 2]].assign(created=END + pd.Timedelta(hours=1)) for part in parts]
    corrected = [row.assign(conv_rate=np.float32(0.5)) for row in late]
    return pd.concat([*parts, *corrected], ignore_index=True)


def entity_df() -> pd.DataFrame:
    """Return orders [3]: in between, of the hour that was written twice, before the first row."""
    return pd.DataFrame(
        {
            "driver_id": [1001, 1002, 1003],
            "event_timestamp": pd.to_datetime(
                ["2024-02-20 10:59:42", "2024-02-22 13:30:00", "2024-02-14 08:12:10"], utc=True
            ),
            "label_driver_reported_satisfaction": [1, 5, 3],
        }
    )


def historical_features(data: Path, orders: pd.DataFrame, exported: Path) -> pd.DataFrame:
    """Import a file into a hub of its own, join orders, export what is there.

    Args:
        data: Parquet, as Feast's ``FileSource`` has it.
        orders: rows with the entity and ``event_timestamp``.
        exported: Parquet file to write.

    Returns:
        The orders with a column for each feature.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "hub", tick_seconds=0)
        initialise(settings)
        hub = open_hub(settings)
        try:
            sets = hub.feature_sets
            sets.apply(DECLARATION.read_text(), actor="example")
            rows = read_rows(data, data.name)
            sets.take("driver_hourly_stats", rows, actor="example", source=data.name)
            joined = sets.join(pa.Table.from_pandas(orders), "event_timestamp")
            sets.export("driver_hourly_stats", exported)
            return joined.table.to_pandas()
        finally:
            hub.close()


def main() -> int:
    """Write the file, ask, and show."""
    with tempfile.TemporaryDirectory() as folder:
        data, exported = (Path(folder) / name for name in ("driver_stats.parquet", "all.parquet"))
        driver_stats().to_parquet(data)
        print(historical_features(data, entity_df(), exported).to_string(index=False))
        file = pq.read_table(exported)
        print(f"exported {file.num_rows} rows: {', '.join(file.column_names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
