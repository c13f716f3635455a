"""Peers behind the protocol of ``benchmarks/statistics/plugged``.

``python plugged.py INPUT.npz OUTPUT.npz``: INPUT has ``reference`` [runs, rows], ``windows`` [runs,
windows, devices, rows] and ``kind`` (values or errors). OUTPUT has alarms [runs, windows] by peer.
Peers have their defaults, see all rows of a window in turn, and do not know of devices.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def main() -> None:
    """Read, measure, write; a peer that is not installed is left out."""
    with np.load(sys.argv[1]) as file:
        reference, windows, kind = file["reference"], file["windows"], str(file["kind"])
    flat = windows.reshape(len(windows), windows.shape[1], -1)
    results: dict[str, Any] = {}
    for make in (_river, _nannyml, _evidently):
        try:
            detectors = make(kind)
        except ImportError:
            continue
        for name, detect in detectors.items():
            runs = zip(reference, flat, strict=True)
            results[name] = np.array([detect(ref, rows) for ref, rows in runs])
    np.savez(sys.argv[2], **results)


Detect = Callable[[Any, Any], Any]


def _river(kind: str) -> dict[str, Detect]:
    from river import drift
    from river.drift import binary

    def by(create: Callable[[], Any]) -> Detect:
        def detect(reference: Any, windows: Any) -> list[bool]:
            detector, alarms = create(), []
            for x in reference[-2_000:].tolist():
                detector.update(x)
            for window in windows:
                alarm = False
                for x in window.tolist():
                    detector.update(x)
                    alarm |= bool(detector.drift_detected)
                alarms.append(alarm)
            return alarms

        return detect

    common = {"river ADWIN": by(drift.ADWIN), "river Page-Hinkley": by(drift.PageHinkley)}
    if kind == "errors":
        return {**common, "river DDM": by(binary.DDM), "river HDDM_A": by(binary.HDDMA)}
    return common


def _nannyml(kind: str) -> dict[str, Detect]:
    import nannyml

    def by(method: str) -> Detect:
        def detect(reference: Any, windows: Any) -> Any:
            calculator = nannyml.UnivariateDriftCalculator(
                column_names=["x"], continuous_methods=[method], chunk_size=windows.shape[1]
            )
            calculator.fit(pd.DataFrame({"x": reference}))
            found = calculator.calculate(pd.DataFrame({"x": windows.ravel()}))
            frame = found.filter(period="analysis").to_df()
            return frame[("x", method, "alert")].to_numpy(dtype=bool)

        return detect

    if kind == "errors":
        return {}
    return {f"NannyML {name}": by(name) for name in ("kolmogorov_smirnov", "jensen_shannon")}


def _evidently(kind: str) -> dict[str, Detect]:
    from evidently import Report
    from evidently.metrics import ValueDrift

    def detect(reference: Any, windows: Any) -> list[bool]:
        alarms = []
        for window in windows:
            report = Report([ValueDrift(column="x")])
            frames = (pd.DataFrame({"x": values}) for values in (window, reference))
            alarms.append(_drifted(report.run(*frames).dict()))
        return alarms

    return {} if kind == "errors" else {"Evidently": detect}


def _drifted(found: dict[str, Any]) -> bool:
    """Distances alarm above their threshold, p-values below it; the method's name says which."""
    [metric] = found["metrics"]
    method, limit = metric["config"].get("method"), metric["config"].get("threshold")
    value = float(metric["value"])
    method = method or metric["metric_name"]
    if "p_value" in str(method):
        return value < (0.05 if limit is None else limit)
    return value >= (0.1 if limit is None else limit)


if __name__ == "__main__":
    main()
