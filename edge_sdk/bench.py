"""``edge bench``: what a model costs on the machine at hand, beside plain onnxruntime in one run.

Rounds are interleaved (ours, then each peer, again and again), so that a slow moment of the machine
hits all alike; a figure is the median over rounds, and ratios are of medians.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.plan import Reporting
from edge_sdk.errors import ReleaseError
from edge_sdk.inference import RawSession, runtime_version
from edge_sdk.release import Feed, Release
from edge_sdk.serving import Serving, Terms

CALLS: Final = 300
"""Single-row calls of one candidate in one round."""

BATCH: Final = 1_000


@dataclass(frozen=True)
class Timing:
    """Latency of one way to ask, in microseconds a call: medians over rounds of each percentile."""

    name: str
    p50_us: float
    p90_us: float
    p99_us: float


@dataclass(frozen=True)
class BenchResult:
    """One measurement. ``rows`` are single rows, ``batches`` calls with ``batch_size`` rows."""

    target: str
    rows: tuple[Timing, ...]
    batches: tuple[Timing, ...]
    batch_size: int
    rounds: int
    load_ms: float
    rss_mb: float
    bytes: int
    machine: Mapping[str, str] = field(default_factory=dict)

    def ratio(self, peer: str) -> float:
        """Median of one row through ``edge_sdk`` over that of ``peer``."""
        by_name = {timing.name: timing.p50_us for timing in self.rows}
        return by_name[OURS] / by_name[peer]


OURS: Final = "edge_sdk predict"
DEFAULT: Final = "onnxruntime, default options"
ONE_THREAD: Final = "onnxruntime, one thread"


def measure(target: Path, seconds: float = 5.0, rows: NDArray[Any] | None = None) -> BenchResult:
    """Measure the release folder or ``.onnx`` file ``target`` for about ``seconds``.

    Rows come from ``rows`` [N, features], else from the release's golden vectors, else at random.

    Raises:
        ReleaseError: it does not load here.
    """
    started = time.perf_counter()
    candidates, feed, load_ms = _candidates(target, rows)
    one = {name: array[:1] for name, array in feed.items()}
    batch = {name: np.resize(array, (BATCH, *array.shape[1:])) for name, array in feed.items()}
    singles: dict[str, list[NDArray[np.float64]]] = {name: [] for name in candidates}
    batches: dict[str, list[NDArray[np.float64]]] = {name: [] for name in candidates}
    rounds = 0
    while rounds < 3 or time.perf_counter() - started < seconds:
        for name, (ask_one, ask_many) in candidates.items():
            singles[name].append(_times(ask_one, one, CALLS))
            batches[name].append(_times(ask_many, batch, 3))
        rounds += 1
    return BenchResult(
        target=target.name,
        rows=tuple(_timing(name, found) for name, found in singles.items()),
        batches=tuple(_timing(name, found) for name, found in batches.items()),
        batch_size=BATCH,
        rounds=rounds,
        load_ms=round(load_ms, 2),
        rss_mb=round(resident_mb(), 1),
        bytes=_model_path(target).stat().st_size,
        machine=machine(),
    )


Ask = Callable[[Feed], object]


def _candidates(
    target: Path, rows: NDArray[Any] | None
) -> tuple[dict[str, tuple[Ask, Ask]], Feed, float]:
    """Every way to ask, the data, and how long our own load took in milliseconds."""
    path = _model_path(target)
    default, single = RawSession(path, threads=None), RawSession(path, threads=1)
    found: dict[str, tuple[Ask, Ask]] = {}
    load_ms = 0.0
    feed = single.random_feed(64)
    if target.is_dir():
        release = Release.open(target)
        started = time.perf_counter()
        serving = Serving(release, Terms(reporting=Reporting(votes=0)), tag="bench")
        load_ms = (time.perf_counter() - started) * 1e3
        feed = release.golden().inputs
        found[OURS] = _through(serving)
    if rows is not None:
        feed = {next(iter(feed)): rows}
    found[DEFAULT] = (default.run, default.run)
    found[ONE_THREAD] = (single.run, single.run)
    return found, feed, load_ms


def _through(serving: Serving) -> tuple[Ask, Ask]:
    """Rows as an application gives them: the array where there is one input, else the feed."""
    signature = serving.release.manifest.signature
    columns = signature.columns

    def one(feed: Feed) -> object:
        if columns and len(feed) == 1:
            return serving.predict(next(iter(feed.values()))[0])
        if columns:
            return serving.predict({c.name: feed[c.tensor][0, c.index] for c in columns})
        return serving.predict(feed)

    def many(feed: Feed) -> object:
        if columns and len(feed) == 1:
            return serving.predict_batch(next(iter(feed.values())))
        if columns:
            return serving.predict_batch({c.name: feed[c.tensor][:, c.index] for c in columns})
        return serving.predict_batch(feed)

    return one, many


def _times(ask: Ask, feed: Feed, calls: int) -> NDArray[np.float64]:
    """Microseconds of each of ``calls`` calls, after a tenth of them as warm-up."""
    for _ in range(max(1, calls // 10)):
        ask(feed)
    times = np.empty(calls)
    for i in range(calls):
        started = time.perf_counter_ns()
        ask(feed)
        times[i] = time.perf_counter_ns() - started
    return times / 1e3


def _timing(name: str, rounds: list[NDArray[np.float64]]) -> Timing:
    levels = [
        round(statistics.median(float(np.percentile(times, level)) for times in rounds), 2)
        for level in (50, 90, 99)
    ]
    return Timing(name, *levels)


def _model_path(target: Path) -> Path:
    path = target / "model.onnx" if target.is_dir() else target
    if not path.is_file():
        raise ReleaseError(f"{target}: expected a release folder or an .onnx file")
    return path


def resident_mb() -> float:
    """Memory that this process holds now, in MiB; 0 where the platform does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * 4096 / (1 << 20)


def machine() -> dict[str, str]:
    """The facts that a latency depends on."""
    facts = {
        "cpu": _cpu(),
        "cores": str(_cores()),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": runtime_version(),
    }
    for name, path in _FREQUENCY.items():
        try:
            facts[name] = Path(path).read_text().strip()
        except OSError:
            continue
    return facts


_FREQUENCY: Final = {
    "governor": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "max_khz": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
    "temperature_millicelsius": "/sys/class/thermal/thermal_zone0/temp",
}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = {a.strip(): b.strip() for a, _, b in (line.partition(":") for line in lines)}
    return named.get("model name") or named.get("Model") or platform.processor() or "unknown"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def to_markdown(result: BenchResult) -> str:
    """The figures as a table, the machine below."""
    lines = [
        f"**{result.target}**: {result.bytes} bytes, loads in {result.load_ms} ms, the process "
        f"holds {result.rss_mb} MiB, {result.rounds} interleaved rounds",
        "",
        f"| µs | one row p50 | p90 | p99 | batch of {result.batch_size} p50 | p99 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row, batch in zip(result.rows, result.batches, strict=True):
        lines.append(
            f"| {row.name} | {row.p50_us:.1f} | {row.p90_us:.1f} | {row.p99_us:.1f} | "
            f"{batch.p50_us:.0f} | {batch.p99_us:.0f} |"
        )
    if any(timing.name == OURS for timing in result.rows):
        lines.append(
            f"\nOne row through edge_sdk, monitored, takes {result.ratio(DEFAULT):.2f}x of the raw "
            f"call with default options, {result.ratio(ONE_THREAD):.2f}x with one thread."
        )
    lines.append("\n" + ", ".join(f"{name} {value}" for name, value in result.machine.items()))
    return "\n".join(lines)


def breaches(result: BenchResult, p99_ms: float | None, rss_mb: float | None) -> list[str]:
    """Which budgets are exceeded, in words."""
    found = []
    slowest = result.rows[0].p99_us / 1e3
    if p99_ms is not None and slowest > p99_ms:
        found.append(f"p99 of one row is {slowest:.3f} ms, allowed {p99_ms}")
    if rss_mb is not None and result.rss_mb > rss_mb:
        found.append(f"the process holds {result.rss_mb} MiB, allowed {rss_mb}")
    return found


def plot(result: BenchResult, path: Path) -> None:
    """A bar chart of single-row percentiles, as ``.svg``, ``.png`` or ``.pdf``.

    Raises:
        ReleaseError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ReleaseError(
            "a plot needs matplotlib: pip install edge-deployment-sdk[plot]"
        ) from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3))
    places = np.arange(len(result.rows))
    for i, level in enumerate(("p50_us", "p90_us", "p99_us")):
        values = [getattr(timing, level) for timing in result.rows]
        axes.barh(places + 0.25 * (i - 1), values, 0.24, label=level.removesuffix("_us"))
    axes.set_yticks(places, [timing.name for timing in result.rows])
    axes.invert_yaxis()
    axes.set_xlabel("microseconds for one row")
    axes.set_title(result.target, fontsize=10)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def run_bench(arguments: Namespace) -> int:
    """The command; 1 if a budget is exceeded."""
    result = measure(arguments.target, arguments.seconds)
    print(to_markdown(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(result), indent=2) + "\n")
    if arguments.plot:
        plot(result, arguments.plot)
    exceeded = breaches(result, arguments.max_p99_ms, arguments.max_rss_mb)
    for line in exceeded:
        print(f"edge bench: {line}", file=sys.stderr)
    return 1 if exceeded else 0
