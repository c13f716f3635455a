"""A pipeline of two models on one device: where is the digit in the picture, and which one is it?

    python -m examples.detect_then_classify [FOLDER]

The detector's answer is a place; what lies there goes to the classifier. They are two releases:
each is monitored, and could be updated, by itself. With a hub it is the same code: open
``EdgeDevice(state, hub=…, token=…)`` with a token for both models.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.messages import WindowReport

PICTURE, DIGIT, STEP = 24, 8, 4
"""Pixels on a side of a picture and of a digit, and between places where digits may lie."""

ACROSS: Final = (PICTURE - DIGIT) // STEP + 1
SURE: Final = 0.5
"""Confidence of the detector below which a picture counts as empty."""

Floats = NDArray[np.float32]


def corner(place: int) -> tuple[int, int]:
    """Return the row and column of the first pixel of a place."""
    down, across = divmod(place, ACROSS)
    return down * STEP, across * STEP


def pictures(digits: Floats, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Lay each digit [N, 8, 8] on a noisy picture; return them [N, 24, 24] and the places [N]."""
    rng = np.random.default_rng(seed)
    canvas = rng.uniform(0, 4, (len(digits), PICTURE, PICTURE)).astype(np.float32)
    places = rng.integers(0, ACROSS**2, len(digits))
    for picture, digit, place in zip(canvas, digits, places, strict=True):
        row, column = corner(place)
        picture[row : row + DIGIT, column : column + DIGIT] += digit
    return canvas, places


def crop(picture: Floats, place: int) -> Floats:
    """Return the pixels [64] at a place, which are the classifier's input."""
    row, column = corner(place)
    return picture[row : row + DIGIT, column : column + DIGIT].ravel()


def release_both(
    folder: Path, seen: Floats, places: NDArray[np.int64], digits: NDArray[np.int64]
) -> list[Path]:
    """Train the two models, each on its own, and convert them; return their folders."""
    crops = np.stack([crop(p, place) for p, place in zip(seen, places, strict=True)])
    trained: dict[str, tuple[Any, Floats, NDArray[np.int64]]] = {
        "detector": (LogisticRegression(max_iter=300), seen.reshape(len(seen), -1), places),
        "digits": (LogisticRegression(max_iter=300), crops, digits),
    }
    return [
        convert(model.fit(x / 16, y), x / 16, y, name=name, out=folder / f"{name}-1.0").folder
        for name, (model, x, y) in trained.items()
    ]


def read(device: EdgeDevice, picture: Floats) -> tuple[int | None, str | None]:
    """Return the digit in a picture and the id of its prediction; None for an empty picture."""
    found = device.model("detector").predict(picture.ravel() / 16)
    if found.confidence is None or found.confidence < SURE:
        return None, None
    answer = device.model("digits").predict(crop(picture, int(found.label or 0)) / 16)
    return int(answer.label or 0), answer.id


def read_all(device: EdgeDevice, many: Floats) -> NDArray[np.int64]:
    """Return the digits in N pictures [N, 24, 24], two calls for all of them."""
    found = device.model("detector").predict_batch(many.reshape(len(many), -1) / 16)
    assert found.labels is not None
    crops = [crop(p, int(place)) for p, place in zip(many, found.labels, strict=True)]
    return np.asarray(device.model("digits").predict_batch(np.stack(crops) / 16).labels)


def main(folder: Path) -> int:
    """Make both releases below ``folder``, and read pictures that they have not seen."""
    table = load_digits()
    images = table.images.astype(np.float32)
    train, test, known, truth = train_test_split(images, table.target, random_state=0)
    folders = release_both(folder, *pictures(train, seed=0), known)
    unseen, _ = pictures(test, seed=1)
    with EdgeDevice.offline(folders) as device:
        answer, prediction = read(device, unseen[0])
        print(f"models: {', '.join(device.models)}; the first picture holds a {answer}")
        if prediction is not None:
            device.feedback(prediction, label=int(truth[0]))  # the id says which model's
        empty, _ = read(device, np.full_like(unseen[0], 2))
        print(f"an empty picture holds {empty}")
        print(f"digits that were read: {(read_all(device, unseen) == truth).mean():.3f}")
        print("\n".join(counted(device)))
    return 0


def counted(device: EdgeDevice) -> list[str]:
    """Return a line for each model, from the reports that each makes of itself."""
    made: Counter[str] = Counter()
    for report in device.reports():
        if isinstance(report, WindowReport):
            made[f"{report.window.model} {report.window.version}"] += sum(
                report.predictions.values()
            )
    return [f"{name} made {count} predictions" for name, count in made.items()]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
