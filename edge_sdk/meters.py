"""Energy meters, under the import path that applications use."""

from edge_sdk.telemetry.meters import Counter, Counters, InTime, Meter, Summed, find_meter

__all__ = ["Counter", "Counters", "InTime", "Meter", "Summed", "find_meter"]
