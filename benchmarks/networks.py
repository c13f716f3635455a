"""Networks that are trained for the comparison of file variants: small, of each common kind.

They learn the handwritten digits that scikit-learn brings, drawn larger where a network looks at
pictures; nobody else's weights are measured. PyTorch trains and exports them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

TRAINED: Final = 700
"""Digits that networks are trained on; the others are the check rows."""

EPOCHS: Final = 14
BATCH: Final = 50


@dataclass(frozen=True)
class TrainedNetwork:
    """An exported network and its check rows.

    Attributes:
        path: of the ``.onnx`` file.
        X: inputs, [N, …] float32.
        y: labels, [N]; ``None`` for a network that gives pictures.
    """

    path: Path
    X: NDArray[np.float32]
    y: NDArray[np.int64] | None


def _digits(size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return digits [N, 1, size, size] with noise, and labels [N], in a random order."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    order = random.permutation(len(X))
    small = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)[order]
    large = small.repeat(size // 8, axis=2).repeat(size // 8, axis=3)
    noise = random.normal(0, 0.1, large.shape).astype(np.float32)
    return large + noise, y[order].astype(np.int64)


def _cnn() -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10), nn.Softmax(1),
    )  # fmt: skip


def _separable() -> Any:
    from torch import nn

    def block(before: int, after: int, stride: int) -> list[Any]:
        return [
            nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False),
            nn.BatchNorm2d(before), nn.ReLU6(),
            nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU6(),
        ]  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
        *block(32, 64, 1), *block(64, 128, 2), *block(128, 128, 1), *block(128, 256, 2),
        *block(256, 256, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
        nn.Softmax(1),
    )  # fmt: skip


def _recurrent(kind: str) -> Callable[[], Any]:
    def make() -> Any:
        import torch
        from torch import nn

        class Recurrent(nn.Module):  # type: ignore[misc]
            """The rows of a picture, one after the other."""

            def __init__(self) -> None:
                super().__init__()
                self.cells = getattr(nn, kind)(16, 128, batch_first=True)
                self.head = nn.Linear(128, 10)

            def forward(self, x: Any) -> Any:
                steps, _ = self.cells(x.squeeze(1))
                return torch.softmax(self.head(steps[:, -1]), 1)

        return Recurrent()

    return make


def _convolutional_recurrent() -> Any:
    import torch
    from torch import nn

    class ConvolutionalRecurrent(nn.Module):  # type: ignore[misc]
        """A small CNN that reads columns, and an LSTM over them."""

        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Sequential(
                nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)),
                nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)),
            )  # fmt: skip
            self.cells = nn.LSTM(32 * 4, 128, batch_first=True)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            columns = self.look(x).flatten(1, 2).transpose(1, 2)
            steps, _ = self.cells(columns)
            return torch.softmax(self.head(steps[:, -1]), 1)

    return ConvolutionalRecurrent()


def _transformer() -> Any:
    import torch
    from torch import nn

    class Transformer(nn.Module):  # type: ignore[misc]
        """Patches of four by four as tokens, two layers of attention."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(1, 64, 4, 4)
            self.places = nn.Parameter(torch.zeros(1, 16, 64))
            layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
            return torch.softmax(self.head(self.layers(tokens).mean(1)), 1)

    return Transformer()


def _u_net() -> Any:
    import torch
    from torch import nn

    def twice(before: int, after: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(),
        )  # fmt: skip

    class UNet(nn.Module):  # type: ignore[misc]
        """Finds the pixels of the digit in a noisy picture."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = twice(1, 16), twice(16, 32), twice(32, 64)
            self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
            self.back2, self.back1 = twice(64, 32), twice(32, 16)
            self.last, self.pool = nn.Conv2d(16, 1, 1), nn.MaxPool2d(2)

        def forward(self, x: Any) -> Any:
            one = self.first(x)
            two = self.second(self.pool(one))
            three = self.third(self.pool(two))
            two = self.back2(torch.cat([self.up2(three), two], 1))
            return torch.sigmoid(self.last(self.back1(torch.cat([self.up1(two), one], 1))))

    return UNet()


@dataclass(frozen=True)
class _Kind:
    make: Callable[[], Any]
    size: int
    pictures: bool = False


NETWORKS: Final[dict[str, _Kind]] = {
    "CNN": _Kind(_cnn, 32),
    "depthwise-separable CNN": _Kind(_separable, 48),
    "LSTM": _Kind(_recurrent("LSTM"), 16),
    "GRU": _Kind(_recurrent("GRU"), 16),
    "CNN with an LSTM": _Kind(_convolutional_recurrent, 16),
    "transformer": _Kind(_transformer, 16),
    "U-Net": _Kind(_u_net, 32, pictures=True),
}


def train(name: str, folder: Path) -> TrainedNetwork:
    """Train and export one of :data:`NETWORKS`; the same network each time on one machine."""
    import torch

    kind = NETWORKS[name]
    torch.manual_seed(0)
    X, y = _digits(kind.size)
    clean = (X > 0.5).astype(np.float32)
    targets = torch.tensor(clean if kind.pictures else y)[:TRAINED]
    rows = torch.tensor(X[:TRAINED])
    network = kind.make()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    epochs = 3 if kind.pictures else EPOCHS
    steps = epochs * (TRAINED // BATCH)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(TRAINED).split(BATCH):
            optimiser.zero_grad()
            answers, wanted = network(rows[chosen]), targets[chosen]
            loss = (
                torch.nn.functional.binary_cross_entropy(answers, wanted)
                if kind.pictures
                else torch.nn.functional.nll_loss(torch.log(answers + 1e-9), wanted)
            )
            loss.backward()
            optimiser.step()
            pace.step()
    return TrainedNetwork(
        _exported(network.eval(), rows[:2], folder),
        X[TRAINED:],
        None if kind.pictures else y[TRAINED:],
    )


def _exported(network: Any, rows: Any, folder: Path) -> Path:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.onnx"
    torch.onnx.export(
        network, (rows,), path, input_names=["x"], output_names=["answers"], opset_version=18,
        dynamic_shapes=({0: torch.export.Dim("rows")},), dynamo=True, external_data=False,
        verbose=False,
    )  # fmt: skip
    return path
