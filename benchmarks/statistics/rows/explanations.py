"""Explanations by regions: how well their parts foretell what a network does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import pictures
from benchmarks.statistics.part import Effort, Part, Row, power
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.model.explain import Explanation
from edge_sdk.model.explain_regions import Method

PART_NUMBER: Final = 62
REGIONS: Final = 16
GONE: Final = REGIONS // 4
ORDERS: Final = 20
"""Random orders that the explained one is held against."""

METHODS: Final[tuple[Method, ...]] = ("occlusion", "shapley")


def run(effort: Effort) -> list[Row]:
    """Explain pictures, and take the regions away that are said to count most."""
    rows, random = [], effort.random(PART_NUMBER)
    x = pictures.digits()[1].draw(random, effort.runs(300, least=30)).x
    with _device() as device:
        for method in METHODS:
            found = [device.explain(each[None], method=method, regions=REGIONS) for each in x]
            faithful = np.array([each.faithfulness for each in found], np.float64)
            pairs = zip(x, found, strict=True)
            hits = sum(_beats_chance(device, each, why, random) for each, why in pairs)
            name = f"{method}: the {GONE} regions of {REGIONS} that count most lower the answer"
            rows.append(power(f"{name} more than as many by chance", hits, len(x), 0.9))
            low, middle = np.nanquantile(faithful, [0.1, 0.5])
            said = f"{middle:.2f} in the median, {low:.2f} in the worst tenth"
            rows.append(Row(f"{method}: faithfulness, {len(x)} pictures", "", said))
    return rows


def _beats_chance(
    device: EdgeDevice, x: pictures.Floats, why: Explanation, random: np.random.Generator
) -> bool:
    """Whether the answer falls more without what counts most than without random regions."""
    assert why.regions is not None
    numbers = {name: i for i, name in enumerate(why.names)}
    best = [numbers[name] for name, _ in sorted(why.parts.items(), key=lambda p: -p[1])[:GONE]]
    chosen = [best, *(random.permutation(REGIONS)[:GONE].tolist() for _ in range(ORDERS))]
    gone = [np.where(np.isin(why.regions, some), x.mean(), x) for some in chosen]
    answers = device.predict_batch({"picture": np.asarray(gone, np.float32)})
    assert answers.probabilities is not None
    index = pictures.network().classes_.tolist().index(why.label)
    left = answers.probabilities[:, index]
    return bool(left[0] < left[1:].mean())


@contextmanager
def _device() -> Iterator[EdgeDevice]:
    import onnx

    held_out = pictures.digits()[1].draw(np.random.default_rng(0), 500)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.onnx"
        onnx.save(pictures.onnx_of_network(), path)
        release = convert(
            path, held_out.x, held_out.y, name="digits", out=Path(folder) / "r",
            classes=pictures.network().classes_.tolist(), variants=("float32",),
        )  # fmt: skip
        with EdgeDevice.offline(release.folder) as device:
            yield device


PART = Part(
    "Explanations of pictures",
    f"A trained network on handwritten digits, {REGIONS} squares a picture. Faithfulness is the "
    "correlation of what the parts foretell with the answers to random selections of squares that "
    "they were not made from: what an application sees with each explanation.",
    run,
)
